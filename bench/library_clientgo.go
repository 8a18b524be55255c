package main

import (
	"net/http"

	"github.com/go-logr/logr"
	"k8s.io/client-go/transport"
	"k8s.io/klog/v2"
)

var clientGoLibrary = library{
	name:   "client-go",
	what:   "NewCachedTokenSource, ResettableTokenSourceWrapTransport",
	module: "k8s.io/client-go",
	window: "on demand, at the end; everybody waits. While that fails the expired token is handed out",
	open: func(f fetch) source {
		klog.SetLogger(logr.Discard()) // it logs each failure
		return oauth2Source{transport.NewCachedTokenSource(tokens(f))}
	},
	transport: func(f fetch, base http.RoundTripper) http.RoundTripper {
		return transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(tokens(f)))(base)
	},
	mutex:   true,
	adapter: 16,
}
