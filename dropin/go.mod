module github.com/tokensource-go/tokensource/dropin

go 1.26.0

require github.com/tokensource-go/tokensource v0.0.0

replace github.com/tokensource-go/tokensource => ..
