package main

// What is wrong with a certificate or a proxy, and what to do: the texts of Go's
// packages say the first only.

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// connectionFault returns "" for an error that is about neither.
func connectionFault(err error) string {
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	_, alert, refused := strings.Cut(err.Error(), "remote error: ")
	switch {
	case errors.As(err, &wrongName):
		return fmt.Sprintf("the certificate is of %q and %v, not of %s: check --base-url",
			wrongName.Certificate.DNSNames, wrongName.Certificate.IPAddresses, wrongName.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate is good from %s to %s only: check this machine's clock, else the provider has to renew it",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &unknown):
		return "the certificate is signed by an authority that is not trusted: name yours by --ca-file, a proxy's that inspects TLS too"
	case errors.As(err, &invalid), errors.As(err, new(*tls.CertificateVerificationError)):
		return "the certificate is refused: the provider has to replace it"
	case errors.Is(err, http.ErrSchemeMismatch), strings.Contains(err.Error(), "not look like a TLS handshake"):
		return "the server does not speak TLS: check --base-url, its port"
	case refused:
		return fmt.Sprintf("the server refuses the handshake (%s): it may want a client certificate, see --cert and --key", alert)
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)):
		return "the proxy wants credentials: name them in HTTPS_PROXY, as http://user:password@host:port"
	}
	return ""
}

// reason is an error of net/http without the URL.
func reason(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// withoutAddress is the reason of an error of package net: the address is known,
// or not to be repeated.
func withoutAddress(err error) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*net.AddrError)(nil); errors.As(err, &e) {
		return errors.New(e.Err)
	}
	if e := (*net.DNSError)(nil); errors.As(err, &e) {
		return errors.New(e.Err)
	}
	return err
}
