// Package docs is empty. Its tests hold the documents to what they say: each Go
// block of README.md and of this directory is compiled and run, and each test
// that they name exists.
//
// They live in a module of their own so that nothing of what the recipes use
// (Redis, OpenTelemetry, an LRU) enters the go.mod of a program that uses
// tokensource.
package docs
