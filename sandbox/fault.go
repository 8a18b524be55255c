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
// Over the network net/http repeats a GET if the connection that it reuses
// breaks: the GET then takes the next fault too.
//
// In JSON the fields have the names of the tags, a duration is a text such as
// "1.5s", and a header's value is a text or a list of texts.
type Fault struct {
	Delay      time.Duration  `json:"delay,omitzero"`       // before the answer begins
	Status     int            `json:"status,omitzero"`      // instead of the documented one, with the provider's error body; a 2xx is given to good calls only
	Code       string         `json:"code,omitzero"`        // of the error body that Status brings: FlinksCode, or Blackhawk's error or errorCode (E0...); Blink has none
	Message    string         `json:"message,omitzero"`     // of the same body
	Header     http.Header    `json:"header,omitempty"`     // added to the answer, e.g. Retry-After, Location; replaces same-named, removes them if nil
	Body       string         `json:"body,omitzero"`        // instead of the documented one; no token is issued
	Drip       time.Duration  `json:"drip,omitzero"`        // pause between the bytes of the body
	TruncateAt int            `json:"truncate_at,omitzero"` // bytes of the body after which the connection breaks (io.ErrUnexpectedEOF)
	Size       int            `json:"size,omitzero"`        // pads the body with spaces to this many bytes
	Break      bool           `json:"break,omitzero"`       // the connection breaks without an answer; no token is issued or looked at
	Patch      map[string]any `json:"patch,omitempty"`      // JSON fields set in (or, if nil, removed from) the documented success body
	ExpiredOn  TimeFormat     `json:"expired_on,omitzero"`  // how Blink's expired_on is written, for the same instant
	DateOffset time.Duration  `json:"date_offset,omitzero"` // added to the Date header and to nothing else; Config.ClockOffset moves all that the server says
}

// TimeFormat is a way to write an instant: a layout of package time, or Epoch.
// The empty one is the documented [time.RFC3339], in UTC: 2024-07-30T14:21:58Z.
type TimeFormat string

const (
	NumericZone TimeFormat = "2006-01-02T15:04:05-0700" // 2024-07-30T14:21:58+0000
	NoZone      TimeFormat = "2006-01-02T15:04:05"      // 2024-07-30T14:21:58
	Epoch       TimeFormat = "epoch"                    // 1722349318, a number: seconds since 1970
)

// Script lets the next calls to an endpoint go wrong, one each, in order.
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
		panic(err) // it is a document of providers.go
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
		a.body, a.chunked = nil, false
		return
	}
	if !a.chunked {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if method == http.MethodHead {
		a.body = nil
	}
}
