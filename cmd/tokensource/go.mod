module github.com/tokensource-go/tokensource/cmd/tokensource

go 1.26.0

require github.com/tokensource-go/tokensource v0.0.0

replace (
	github.com/tokensource-go/tokensource => ../..
	github.com/tokensource-go/tokensource/filestore => ../../filestore
	github.com/tokensource-go/tokensource/redisstore => ../../redisstore
)
