package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// table is a Markdown table. The first column holds names, the others figures.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	rule := []string{"---"}
	for range header[1:] {
		rule = append(rule, "---:")
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// number writes what a reader can use of a figure: three digits.
func number(v float64) string {
	switch magnitude := max(v, -v); {
	case v == math.Trunc(v), magnitude >= 100:
		return thousands(int(math.Round(v)))
	case magnitude >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case magnitude >= .1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// duration writes milliseconds in the unit that suits them.
func duration(ms float64) string {
	switch {
	case ms <= 0:
		return "0"
	case ms >= 1000:
		return number(ms/1000) + " s"
	}
	return number(ms) + " ms"
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + more
}
