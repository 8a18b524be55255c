package oteltokensource_test

// docs/prometheus-alerts.yaml and docs/grafana-dashboard.json against what the
// Prometheus exporter exports of caches in health and in failure: an hour of
// scrapes, which promtool has the rules and the dashboard's queries evaluate.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/oteltokensource"
	"github.com/tokensource-go/tokensource/sandbox"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

const (
	alertsFile    = "../docs/prometheus-alerts.yaml"
	dashboardFile = "../docs/grafana-dashboard.json"

	scrapeInterval = 15 * time.Second
	hour           = time.Hour
	troubleBegins  = 20 * time.Minute
	troubleEnds    = 40 * time.Minute
)

// scraped is what one scrape found: series → value.
type scraped map[string]string

// mishap is a cache that has its trouble between troubleBegins and troubleEnds.
type mishap struct {
	source, provider string
	fault            sandbox.Fault // of token requests
	store            bool          // does not work
	rejects          bool          // the API rejects each token
	idle             bool          // no calls
	alerts           []string
}

var mishaps = []mishap{
	{source: "steady", provider: "blackhawk"},
	{source: "unused", provider: "blackhawk", idle: true},
	{source: "outage", provider: "blackhawk", fault: sandbox.Fault{Status: 503},
		alerts: []string{"TokenCallsFail", "TokenExpiring", "TokenRefreshFailing"}},
	{source: "rotated", provider: "blackhawk", fault: sandbox.Fault{Status: 401},
		alerts: []string{"TokenCallsFail", "TokenCredentialsRejected", "TokenExpiring", "TokenRefreshFailing"}},
	{source: "slow", provider: "flinks", fault: sandbox.Fault{Delay: 3 * time.Second}, alerts: []string{"TokenWaitsLong"}},
	{source: "store", provider: "blackhawk", store: true, alerts: []string{"TokenStoreFailing"}},
	{source: "rejected", provider: "blackhawk", rejects: true, alerts: []string{"TokenCallsFail", "TokenRejectedByAPI"}},
}

// faultyStore works if it should.
type faultyStore struct {
	memoryStore
	broken atomic.Bool
}

func (s *faultyStore) TryLock(ctx context.Context, key string) (context.Context, func(), error) {
	if s.broken.Load() {
		return nil, nil, errStore
	}
	return s.memoryStore.TryLock(ctx, key)
}

// anHour has the mishaps happen, with a call to each cache every 5 s.
func anHour(t *testing.T) (scrapes []scraped) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		t.Fatal(err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	var begin, end, call []func()
	for _, m := range mishaps {
		sb := sandbox.NewInProcess(sandbox.Config{})
		creds := tokensource.StaticCredentials(sandbox.ID, sandbox.Secret)
		store := &faultyStore{}
		cache := &tokensource.Cache{}
		at := sandbox.Blackhawk
		if m.provider == "flinks" {
			at = sandbox.Flinks
			cache.Source = &tokensource.Flinks{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()}
			cache.Ready = 1
		} else {
			cache.Source = &tokensource.Blackhawk{Credentials: creds, BaseURL: sb.URL, HTTPClient: sb.Client()}
			cache.Store = store
		}
		if _, err := oteltokensource.Instrument(cache, oteltokensource.WithMeterProvider(meters),
			oteltokensource.WithAttributes(attribute.String("source", m.source))); err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		var rejects, idle atomic.Bool
		begin = append(begin, func() {
			sb.Always(at, sandbox.Token, m.fault)
			store.broken.Store(m.store)
			rejects.Store(m.rejects)
			idle.Store(m.idle)
		})
		end = append(end, func() {
			sb.Always(at, sandbox.Token, sandbox.Fault{})
			store.broken.Store(false)
			rejects.Store(false)
			idle.Store(false)
		})
		call = append(call, func() {
			for i := 0; i < 2 && !idle.Load(); i++ { // the second finds what is ready taken
				if tok, err := cache.Token(); err == nil && rejects.Load() {
					cache.Invalidate(tok)
				}
			}
		})
	}
	start := time.Now()
	time.AfterFunc(troubleBegins, func() { each(begin) })
	time.AfterFunc(troubleEnds, func() { each(end) })
	for range int(hour/scrapeInterval) + 1 {
		scrapes = append(scrapes, scrape(t, registry, start))
		for range 3 {
			for _, f := range call {
				go f()
			}
			time.Sleep(scrapeInterval / 3)
		}
	}
	return scrapes
}

func each(fs []func()) {
	for _, f := range fs {
		f()
	}
}

// scrape asks as a Prometheus 3 does, which takes dots in names. promtool counts
// the time from 0, so the times are made such.
func scrape(t *testing.T, registry *prometheus.Registry, start time.Time) scraped {
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8")
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, request)
	found := scraped{}
	for lines := bufio.NewScanner(recorder.Body); lines.Scan(); {
		series, value, ok := strings.Cut(strings.Replace(lines.Text(), "} ", "}\n", 1), "\n")
		if strings.HasPrefix(series, "tokensource_token_expiration_time_seconds{") {
			at, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			value = fmt.Sprint(at - float64(start.UnixMilli())/1e3)
		}
		if ok && !strings.HasPrefix(series, "#") {
			found[strings.Replace(series, "{", `{job="shop",instance="10.0.0.1:8080",`, 1)] = value
		}
	}
	return found
}

// The rule unit-test file of promtool. JSON is YAML.
type (
	ruleTest struct {
		RuleFiles          []string    `json:"rule_files"`
		EvaluationInterval string      `json:"evaluation_interval"`
		Tests              []testGroup `json:"tests"`
	}
	testGroup struct {
		Interval string        `json:"interval"`
		Input    []inputSeries `json:"input_series"`
		Queries  []query       `json:"promql_expr_test"`
	}
	inputSeries struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	query struct {
		Expr     string   `json:"expr"`
		EvalTime string   `json:"eval_time"`
		Want     []sample `json:"exp_samples"`
	}
	sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
)

// inputOf turns the scrapes around: a series is stale when a scrape misses it.
func inputOf(scrapes []scraped) (input []inputSeries) {
	values := map[string][]string{}
	for i, s := range scrapes {
		for series, value := range s {
			for len(values[series]) < i {
				values[series] = append(values[series], missing(values[series]))
			}
			values[series] = append(values[series], value)
		}
	}
	for series, v := range values {
		for len(v) < len(scrapes) {
			v = append(v, missing(v))
		}
		input = append(input, inputSeries{series, strings.Join(v, " ")})
	}
	return input
}

func missing(earlier []string) string {
	if n := len(earlier); n > 0 && earlier[n-1] != "_" && earlier[n-1] != "stale" {
		return "stale"
	}
	return "_"
}

func TestTheDocsAgreeWithWhatIsExported(t *testing.T) {
	if _, err := os.Stat("../go.work"); err != nil {
		t.Skip("docs/ is not here: this is no clone of the repository")
	}
	var scrapes []scraped
	synctest.Test(t, func(t *testing.T) { scrapes = anHour(t) })
	exported := map[string]bool{}
	for _, s := range scrapes {
		for series := range s {
			name, _, _ := strings.Cut(series, "{")
			exported[name] = true
		}
	}
	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	queries := dashboardQueries(t)

	t.Run("names", func(t *testing.T) {
		names := regexp.MustCompile(`\btokensource_\w+`)
		for file, text := range map[string]string{alertsFile: string(alerts), dashboardFile: strings.Join(queries, "\n")} {
			used := names.FindAllString(text, -1)
			if len(used) < 10 {
				t.Errorf("%s has %d metric names only", file, len(used))
			}
			for _, name := range used {
				if !exported[name] {
					t.Errorf("%s has %s, which is not exported", file, name)
				}
			}
		}
		for name := range exported {
			name = strings.NewReplacer("_bucket", "", "_count", "", "_sum", "").Replace(name)
			if !strings.Contains(strings.Join(queries, "\n"), name) && strings.HasPrefix(name, "tokensource_") {
				t.Errorf("%s shows nothing of %s", dashboardFile, name)
			}
		}
	})

	t.Run("promtool check rules", func(t *testing.T) {
		promtool(t, "check", "rules", alertsFile)
	})

	t.Run("promtool test rules", func(t *testing.T) {
		firing := `count by (alertname, source) (ALERTS{alertstate="firing"})`
		var inTrouble []sample
		for _, m := range mishaps {
			for _, alert := range m.alerts {
				inTrouble = append(inTrouble, sample{fmt.Sprintf(`{alertname=%q, source=%q}`, alert, m.source), 1})
			}
		}
		checks := []query{
			{firing, "19m", nil},
			{firing, "38m", inTrouble},
			{firing, "59m", nil},
			// In time: there is still a token.
			{`count(count_over_time((ALERTS{alertname="TokenExpiring", source="outage"} and on (source)
				tokensource_token_expiration_time_seconds - time() > 30)[20m:15s]))`, "38m", []sample{{"{}", 1}}},
			// An alert about the unused token would have been false.
			{`sum(tokensource_token_expiration_time_seconds{source="unused"} - time() < bool 0)`, "38m", []sample{{"{}", 1}}},
		}
		for _, q := range queries { // each finds something
			checks = append(checks, query{"count(" + q + ") > bool 0", "38m", []sample{{"{}", 1}}})
		}
		rules, err := filepath.Abs(alertsFile)
		if err != nil {
			t.Fatal(err)
		}
		interval := scrapeInterval.String()
		text, err := json.Marshal(ruleTest{[]string{rules}, interval, []testGroup{{interval, inputOf(scrapes), checks}}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "test.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		promtool(t, "test", "rules", file)
	})
}

// dashboardQueries are the dashboard's, with its variables filled in.
func dashboardQueries(t *testing.T) (queries []string) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := []string{"$__rate_interval", "5m"}
	for _, v := range dashboard.Templating.List {
		fill = append(fill, "$"+v.Name, ".*")
		if v.Definition != "" { // label_values(metric, label)
			queries = append(queries, strings.Split(strings.TrimPrefix(v.Definition, "label_values("), ",")[0])
		}
	}
	var ids []int
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 || p.Title == "" || slices.Contains(ids, p.ID) {
			t.Errorf("the panel %d %q has no query or title, or an id used twice", p.ID, p.Title)
		}
		ids = append(ids, p.ID)
		for _, target := range p.Targets {
			expr := strings.NewReplacer(fill...).Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("the panel %q has an unknown variable: %s", p.Title, expr)
			}
			queries = append(queries, expr)
		}
	}
	return queries
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("REQUIRE_PROMTOOL") == "" {
		t.Skip("no promtool on the PATH: it is in Debian's package prometheus")
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
