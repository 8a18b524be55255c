package storetest_test

import (
	"testing"

	"github.com/tokensource-go/tokensource"
	"github.com/tokensource-go/tokensource/storetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	var m storetest.Memory
	storetest.Run(t, func(*testing.T) tokensource.Store { return m.Handle() })
}

// A newStore that starts afresh each time still has its stores tested.
func TestStoresThatShareNothing(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) tokensource.Store { return &storetest.Memory{} })
}
