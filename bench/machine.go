package main

import (
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Machine is where it was measured. What cannot be found out stays empty.
type Machine struct {
	CPU   string  `json:"cpu"`
	Cores int     `json:"cores"`
	OS    string  `json:"os"`
	Go    string  `json:"go"`
	Busy  float64 `json:"busy"` // the processors' share that went to other processes meanwhile
}

func thisMachine() Machine {
	return Machine{
		CPU:   firstMatch("/proc/cpuinfo", `model name\s*: (.*)`),
		Cores: runtime.GOMAXPROCS(0),
		OS:    runtime.GOOS + "/" + runtime.GOARCH,
		Go:    runtime.Version(),
	}
}

// processorTime is that of all processors since the system started, in ticks,
// and of that what other processes had.
func processorTime() (others, all int) {
	for i, field := range strings.Fields(firstMatch("/proc/stat", `^cpu (.*)`)) {
		n, _ := strconv.Atoi(field)
		all += n
		if i != 3 && i != 4 { // idle, waiting for a disk
			others += n
		}
	}
	if own := strings.Fields(firstMatch("/proc/self/stat", `\) (.*)`)); len(own) > 12 {
		for _, field := range own[11:13] { // as user and as system
			n, _ := strconv.Atoi(field)
			others -= n
		}
	}
	return others, all
}

func firstMatch(path, pattern string) string {
	b, _ := os.ReadFile(path)
	if m := regexp.MustCompile(pattern).FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

// moduleVersions is module path → version.
func moduleVersions() map[string]string {
	versions := map[string]string{}
	info, _ := debug.ReadBuildInfo() // each build of a module has it
	for _, m := range info.Deps {
		versions[m.Path] = m.Version
		if m.Replace != nil {
			versions[m.Path] = "this tree"
		}
	}
	return versions
}
