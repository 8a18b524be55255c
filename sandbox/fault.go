package sandbox

// What goes wrong, when, and what it does to an answer.

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault says how a call goes wrong. The zero Fault is a normal answer. Fields
// combine; Break overrides all but Delay.
//
// The call is decided when it arrives and the answer sent after Delay, as over
// a slow network: a token is already running by then.
//
// Over the network net/http repeats a GET whose reused connection breaks: it
// then takes the next fault too.
type Fault struct {
	Delay      time.Duration  // before the answer begins
	Status     int            // instead of the documented one, with the provider's error body; a 2xx is given to good calls only
	Header     http.Header    // added to the answer, e.g. Retry-After, Location; replaces same-named, removes them where nil
	Body       string         // instead of the documented one; no token is issued
	Drip       time.Duration  // pause between the bytes of the body
	TruncateAt int            // bytes of the body after which the connection breaks (io.ErrUnexpectedEOF); Content-Length says more
	Size       int            // pads the body with spaces to this many bytes
	Break      bool           // the connection breaks without an answer; no token is issued or looked at
	Patch      map[string]any // JSON fields set in (or, where nil, removed from) the documented success body
}

// Script lets the next calls of an endpoint go wrong, one each, in order.
func (s *Sandbox) Script(p Provider, e Endpoint, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := route{p, e}
	s.scripted[at] = append(s.scripted[at], faults...)
}

// Always lets every call go wrong that Script has nothing for, until Always
// with the zero Fault.
func (s *Sandbox) Always(p Provider, e Endpoint, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always[route{p, e}] = f
}

// nextFault takes the fault of a call that has just arrived.
func (s *Sandbox) nextFault(at route) Fault {
	faults := s.scripted[at]
	if len(faults) == 0 {
		return s.always[at]
	}
	s.scripted[at] = faults[1:]
	return faults[0]
}

// patch sets and removes fields of a JSON object.
func (f *Fault) patch(body []byte) []byte {
	if len(f.Patch) == 0 {
		return body
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		panic(err) // we wrote it
	}
	for name, v := range f.Patch {
		if v == nil {
			delete(fields, name)
		} else {
			fields[name] = marshal(v)
		}
	}
	return marshal(fields)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sandbox: Fault.Patch: " + err.Error())
	}
	return b
}

// distort does to a finished answer what needs no knowledge of the provider.
func (a *answer) distort(method string) {
	f := &a.fault
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if pad := f.Size - len(a.body); pad > 0 {
		a.body = append(a.body, bytes.Repeat([]byte{' '}, pad)...)
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		a.body = nil
		return
	}
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	if method == http.MethodHead {
		a.body = nil
	}
}
