package main

// Where the token command's flags and environment become a token source.

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokensource-go/tokensource"
)

// caFileVar is the environment's --ca-file.
const caFileVar = "TOKENSOURCE_CA_FILE"

// connection is what every provider is configured with.
type connection struct {
	credentials tokensource.Credentials
	baseURL     string
	client      *http.Client
}

// sourceFlags are those that the providers have in common.
type sourceFlags struct {
	baseURL            string
	idFile, secretFile string
	certFile, keyFile  string
	caFile             string
	timeout            time.Duration
}

func (f *sourceFlags) register(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.StringVar(&f.baseURL, "base-url", "", "address of the provider")
	fs.StringVar(&f.idFile, "id-file", "", "file with the first half of the credentials, in place of the environment")
	fs.StringVar(&f.secretFile, "secret-file", "", "file with the second half")
	fs.StringVar(&f.certFile, "cert", "", "PEM file with a client certificate, for mutual TLS")
	fs.StringVar(&f.keyFile, "key", "", "PEM file with its key (default: the file of --cert)")
	fs.StringVar(&f.caFile, "ca-file", "", "PEM file with the authorities to trust, in place of the system's")
	fs.DurationVar(&f.timeout, "timeout", 15*time.Second, "how long the whole may take, retries included, as 500ms or 15s")
	completeFiles(cmd, "id-file", "secret-file", "cert", "key", "ca-file")
}

// source is the one place where a token source is built. The certificate is the
// client's, if there is one: a token may be good only with it.
func (f *sourceFlags) source(p *provider) (src tokensource.ContextTokenSource, certificate []byte, err error) {
	if f.timeout <= 0 {
		return nil, nil, usagef("--timeout must be more than 0")
	}
	c := connection{baseURL: cmp.Or(f.baseURL, os.Getenv(p.baseVar), p.baseURL)}
	if c.baseURL == "" {
		return nil, nil, usagef("%s has no public address: set --base-url or %s to the one you were given", p.name, p.baseVar)
	}
	if c.credentials, err = f.credentials(p); err != nil {
		return nil, nil, err
	}
	if c.client, certificate, err = f.httpClient(); err != nil {
		return nil, nil, err
	}
	return p.build(c), certificate, nil
}

func (f *sourceFlags) credentials(p *provider) (tokensource.Credentials, error) {
	if f.idFile == "" && f.secretFile == "" {
		return tokensource.EnvCredentials(p.idVar, p.secretVar), nil
	}
	if f.idFile == "" || f.secretFile == "" {
		return nil, usagef("--id-file and --secret-file go together")
	}
	files := tokensource.FileCredentials(f.idFile, f.secretFile)
	return func(ctx context.Context) (id, secret string, err error) {
		// An error of the library's would name the file, and who mistook the
		// flag has written the secret there.
		for flag, path := range map[string]string{"--id-file": f.idFile, "--secret-file": f.secretFile} {
			if _, err := os.Stat(path); err != nil {
				return "", "", fmt.Errorf("%w: %s: %w", tokensource.ErrCredentials, flag, withoutPath(err))
			}
		}
		return files(ctx)
	}, nil
}

// withoutPath is an error of package os without the path.
func withoutPath(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (f *sourceFlags) httpClient() (client *http.Client, certificate []byte, err error) {
	config := &tls.Config{}
	if file := cmp.Or(f.caFile, os.Getenv(caFileVar)); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, usagef("--ca-file: %w", withoutPath(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, usagef("--ca-file: there is no PEM certificate in the file")
		}
	}
	if f.certFile != "" {
		pair, err := tls.LoadX509KeyPair(f.certFile, cmp.Or(f.keyFile, f.certFile))
		if err != nil {
			return nil, nil, usagef("--cert, --key: %w", withoutPath(err))
		}
		config.Certificates, certificate = []tls.Certificate{pair}, pair.Certificate[0]
	} else if f.keyFile != "" {
		return nil, nil, usagef("--key needs --cert")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return &http.Client{Transport: transport, Timeout: f.timeout}, certificate, nil
}
