//go:build !unix

// Package private does not judge here: the mode bits do not say who has access.
package private

import "io/fs"

// File accepts every file.
func File(fs.FileInfo) error { return nil }

// Dir accepts every directory.
func Dir(fs.FileInfo) error { return nil }
