package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// Results is all that one run found; results.json is it.
type Results struct {
	Date      time.Time  `json:"date"`
	Quick     bool       `json:"quick"`
	TookS     float64    `json:"took_s"`
	Machine   Machine    `json:"machine"`
	Libraries []About    `json:"libraries"`
	Read      []Read     `json:"read"`
	Request   []Request  `json:"request"`
	Rollover  []Rollover `json:"rollover"`
	Outage    []Outage   `json:"outage"`
	Window    []Window   `json:"windows"`
	Tenants   []Tenants  `json:"tenants"`
}

// About is what was measured.
type About struct {
	Name    string `json:"name"`
	What    string `json:"what"`
	Module  string `json:"module"`
	Version string `json:"version"`
	Window  string `json:"default_window"`
}

func newResults() *Results {
	r := &Results{Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine()}
	versions := moduleVersions()
	for _, l := range libraries() {
		r.Libraries = append(r.Libraries, About{l.name, l.what, l.module, versions[l.module], l.window})
	}
	return r
}

// write puts everything into a directory.
func (r *Results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "results.json"), append(b, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "results.md"), []byte(r.report()), 0o644),
		r.draw(dir))
}
