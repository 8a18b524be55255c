package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
)

var awsLibrary = library{
	name:   "AWS SDK",
	what:   "CredentialsCache",
	module: "github.com/aws/aws-sdk-go-v2",
	window: "on demand, at the end; everybody waits",
	open: func(f fetch) source {
		return awsCache{aws.NewCredentialsCache(awsCredentials(f))}
	},
	noTransport: "its credentials sign requests, no header carries them",
}

type awsCache struct{ *aws.CredentialsCache }

func (c awsCache) token(ctx context.Context) (string, error) {
	creds, err := c.Retrieve(ctx)
	return creds.SessionToken, err
}

type awsCredentials fetch

// Retrieve returns the token where AWS's has its place. The cache takes no
// credentials without keys.
func (f awsCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	access, expiry, err := f(ctx)
	return aws.Credentials{
		AccessKeyID:     "id",
		SecretAccessKey: "secret",
		SessionToken:    access,
		CanExpire:       true,
		Expires:         expiry,
	}, err
}
