package docs_test

// What the blocks may import; a block uses it by the name of its package. The
// go command takes from here what the module requires, and that these tests run
// again when tokensource has changed.

import (
	_ "context"
	_ "crypto/tls"
	_ "errors"
	_ "expvar"
	_ "fmt"
	_ "io"
	_ "log"
	_ "log/slog"
	_ "net/http"
	_ "net/http/httptest"
	_ "net/url"
	_ "os"
	_ "path/filepath"
	_ "strings"
	_ "sync"
	_ "testing"
	_ "testing/synctest"
	_ "time"

	_ "github.com/alicebob/miniredis/v2"
	_ "github.com/hashicorp/golang-lru/v2/expirable"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/tokensource-go/tokensource"
	_ "github.com/tokensource-go/tokensource/filestore"
	_ "github.com/tokensource-go/tokensource/oteltokensource"
	_ "github.com/tokensource-go/tokensource/redisstore"
	_ "github.com/tokensource-go/tokensource/sandbox"
	_ "github.com/tokensource-go/tokensource/storetest"
	_ "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	_ "golang.org/x/oauth2"
	_ "golang.org/x/oauth2/clientcredentials"
)
