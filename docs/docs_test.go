package docs_test

// What the documents name has to exist.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".." // of the repository

// documents returns the texts of README.md and its kind, and of all in docs,
// by their path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "llms.txt", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(text)
		}
	}
	return texts
}

// line is the number of the line at which text[at] stands.
func line(text string, at int) int { return 1 + strings.Count(text[:at], "\n") }

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
	namedTest = regexp.MustCompile("`((?:Test|Fuzz|Example|Benchmark)[A-Z_]\\w*)`")
)

// tests returns the names of all tests of the repository, examples included.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range testFunc.FindAllSubmatch(source, -1) {
			names[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNamedTestsExist(t *testing.T) {
	exists := tests(t)
	named := 0
	for file, text := range documents(t) {
		for _, match := range namedTest.FindAllStringSubmatchIndex(text, -1) {
			named++
			if name := text[match[2]:match[3]]; !exists[name] {
				t.Errorf("%s:%d: there is no test %s", file, line(text, match[0]), name)
			}
		}
	}
	if named < 50 {
		t.Errorf("the documents name %d tests: were their tables not found?", named)
	}
}

// A row of the comparison without a test is a claim.
func TestEachRowOfTheComparisonNamesATest(t *testing.T) {
	text := documents(t)["docs/peers.md"]
	rows := regexp.MustCompile(`(?m)^\| \d+ \|.*$`).FindAllStringIndex(text, -1)
	for _, at := range rows {
		if row := text[at[0]:at[1]]; !namedTest.MatchString(row) && !strings.Contains(row, "`.ci/") {
			t.Errorf("docs/peers.md:%d: no test is named", line(text, at[0]))
		}
	}
	if len(rows) < 36 {
		t.Errorf("docs/peers.md has %d rows, want 36 or more", len(rows))
	}
}

var (
	link = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`) // to a file of the repository
	code = regexp.MustCompile("(?ms)^```.*?^```$")
)

func TestLinkedFilesExist(t *testing.T) {
	links := 0
	for file, text := range documents(t) {
		text = code.ReplaceAllStringFunc(text, func(block string) string { return strings.Repeat("\n", strings.Count(block, "\n")) })
		for _, match := range link.FindAllStringSubmatchIndex(text, -1) {
			links++
			target := filepath.Join(root, filepath.Dir(file), text[match[2]:match[3]])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s:%d: %v", file, line(text, match[0]), err)
			}
		}
	}
	if links == 0 {
		t.Error("no links were found")
	}
}

// llms.txt is read by programs that write programs: what it leaves out they
// make up.
func TestLLMsTextNamesTheWholeAPI(t *testing.T) {
	text, exported := documents(t)["llms.txt"], exported(t)
	for _, name := range exported {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
			t.Errorf("llms.txt does not name %s", name)
		}
	}
	if len(exported) < 80 {
		t.Errorf("%d names were found: %q", len(exported), exported)
	}
}

// exported are the names of the root package: of types, functions, variables,
// constants, and of the fields of structs.
func exported(t *testing.T) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(file)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			} else if ok {
				continue // a method
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				var found []*ast.Ident
				switch n := n.(type) {
				case *ast.TypeSpec:
					found = []*ast.Ident{n.Name}
				case *ast.ValueSpec:
					found = n.Names
				case *ast.StructType:
					for _, field := range n.Fields.List {
						found = append(found, field.Names...)
					}
				case *ast.FuncDecl:
					return false
				}
				for _, name := range found {
					names = append(names, name.Name)
				}
				return true
			})
		}
	}
	return names
}
