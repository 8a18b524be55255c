package main

// Where the token command's flags and environment become a token source.

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/tokensource-go/tokensource"
)

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

// source is the one place where a token source is built. The certificate is the
// client's, if there is one: a token may be good only with it.
func (f *sourceFlags) source(p *provider) (src tokensource.ContextTokenSource, certificate []byte, err error) {
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
	// An error of the library's would name the file, and who mistook the flag
	// has written the secret there.
	for flag, path := range map[string]string{"--id-file": f.idFile, "--secret-file": f.secretFile} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", tokensource.ErrCredentials, flag, withoutPath(err))
		}
	}
	return tokensource.FileCredentials(f.idFile, f.secretFile), nil
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
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
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
