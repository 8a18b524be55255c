module github.com/tokensource-go/tokensource

go 1.26.0

require (
	github.com/jarcoal/httpmock v1.4.2
	golang.org/x/oauth2 v0.37.0
	golang.org/x/sync v0.24.0
)
