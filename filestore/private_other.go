//go:build !unix

package filestore

import "io/fs"

// private looks at nothing: the mode bits do not say who has access here.
func private(fs.FileInfo) error { return nil }

func trustedWay(string) error { return nil }
