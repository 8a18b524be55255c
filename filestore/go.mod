module github.com/tokensource-go/tokensource/filestore

go 1.26.0

require (
	github.com/gofrs/flock v0.13.1
	github.com/tokensource-go/tokensource v0.1.0
	golang.org/x/oauth2 v0.37.0
)

require (
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
