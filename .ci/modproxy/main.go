// Command modproxy writes the modules of a source tree into a directory that the
// go command takes for a module proxy (GOPROXY=file:///...).
//
//	modproxy TREE VERSION OUT [SUBDIRECTORY...]
//
// The module at the root of the tree is always among them.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("modproxy: ")
	if len(os.Args) < 4 {
		log.Fatal("usage: modproxy TREE VERSION OUT [SUBDIRECTORY...]")
	}
	tree, version, out := os.Args[1], os.Args[2], os.Args[3]
	for _, dir := range append([]string{"."}, os.Args[4:]...) {
		if err := publish(filepath.Join(tree, dir), version, out); err != nil {
			log.Fatalf("module in %s: %v", dir, err)
		}
	}
}

// publish lays down the four files that a proxy serves, as
// https://go.dev/ref/mod#goproxy-protocol names them.
func publish(dir, version, out string) error {
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	mod := module.Version{Path: modfile.ModulePath(gomod), Version: version}
	var content bytes.Buffer
	if err := zip.CreateFromDir(&content, mod, dir); err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC()})
	if err != nil {
		return err
	}
	escaped, err := module.EscapePath(mod.Path)
	if err != nil {
		return err
	}
	versions := filepath.Join(out, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list":            []byte(version + "\n"),
		version + ".info": info,
		version + ".mod":  gomod,
		version + ".zip":  content.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%s %s, %d kB\n", mod.Path, version, content.Len()/1000)
	return nil
}
