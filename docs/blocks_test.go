package docs_test

// Each Go block of the documents becomes a test of one program: with the
// imports that it needs, the names that testdata/blocks gives it, and //line
// comments, so that a failure names the document and the line.

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// block is a piece of Go in a document.
type block struct {
	file string // from the root
	line int    // of its first line
	code string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

var fenced = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

func blocks(t *testing.T) (found []block) {
	t.Helper()
	texts := documents(t)
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		text := texts[file]
		for _, at := range fenced.FindAllStringSubmatchIndex(text, -1) {
			found = append(found, block{file, line(text, at[2]), text[at[2]:at[3]]})
		}
	}
	return found
}

func TestBlocksRun(t *testing.T) {
	dir := t.TempDir()
	known, found := imports(t), blocks(t)
	var files []string
	write := func(name string, source []byte) {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], source, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range found {
		source, err := b.source(known)
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		write(fmt.Sprintf("block%d_test.go", i), source)
	}
	preludes, err := filepath.Glob("testdata/blocks/*.go")
	if err != nil || len(preludes) == 0 || len(found) < 15 {
		t.Fatalf("found %d blocks and %q, %v", len(found), preludes, err)
	}
	for _, name := range preludes {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Base(name), source)
	}
	program := exec.Command("go", append([]string{"test", "-count=1"}, files...)...)
	if output, err := program.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestBlocksAreFormatted(t *testing.T) {
	for _, b := range blocks(t) {
		formatted, err := format.Source([]byte(b.code))
		if err == nil && string(formatted) != b.code {
			t.Errorf("%s: gofmt has it so:\n%s", b, formatted)
		}
	}
}

// imports are those of imports_test.go, by the name of the package.
func imports(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "imports_test.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]string)
	version := regexp.MustCompile(`/v\d+$`)
	for _, s := range file.Imports {
		importPath, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(path.Base(version.ReplaceAllString(importPath, "")), "go-")
		known[name] = importPath
	}
	return known
}

// placeholders are what a document writes for what only its reader has.
var placeholders = strings.NewReplacer(
	`"https://..."`, `"https://flinks.example"`,
	`"/run/secrets/`, `secrets+"/`,
	`"redis:6379"`, `redisAddr`,
)

// parameters are what the statements of a block may use without declaring it.
const parameters = "ctx context.Context, creds tokensource.Credentials, blink *tokensource.Blink, flinks *tokensource.Flinks, " +
	"cache *tokensource.Cache, config *clientcredentials.Config, store tokensource.Store, cert tls.Certificate, base string, body io.Reader"

// source makes a test file of a block. Statements become a test, which ends
// with a look at the variables that they leave to the reader; declarations stay
// what they are.
func (b block) source(known map[string]string) ([]byte, error) {
	file, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return nil, err
	}
	code := fmt.Sprintf("//line %s:%d\n%s", file, b.line, placeholders.Replace(b.code))
	parsed, err := parser.ParseFile(token.NewFileSet(), "", "package blocks\n"+code, 0)
	if err != nil {
		name := regexp.MustCompile(`\W`).ReplaceAllString(b.String(), "_")
		begin := fmt.Sprintf("func TestBlock_%s(t *testing.T) { run(t, func(%s) { {\n", name, parameters)
		if parsed, err = parser.ParseFile(token.NewFileSet(), "", "package blocks\n"+begin+code+"}})}", 0); err != nil {
			return nil, err
		}
		code = begin + code + fmt.Sprintf("works(t, %s)\n}})}\n", strings.Join(variables(parsed), ", "))
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "package blocks")
	for _, name := range slices.Sorted(maps.Keys(packages(parsed))) {
		if importPath, ok := known[name]; ok {
			fmt.Fprintf(&out, "import %q\n", importPath)
		}
	}
	fmt.Fprintf(&out, "\n%s", code)
	return out.Bytes(), nil
}

// packages are the names before a dot, some of which are packages.
func packages(file *ast.File) map[string]bool {
	used := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		}
		return true
	})
	return used
}

// variables are those that the block assigns to, at its top level.
func variables(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for _, left := range a.Lhs {
			if name, ok := left.(*ast.Ident); ok && name.Name != "_" && !slices.Contains(names, name.Name) {
				names = append(names, name.Name)
			}
		}
		return false
	})
	return names
}
