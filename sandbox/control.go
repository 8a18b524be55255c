package sandbox

// Orders from a program in another language, as JSON over HTTP. The package
// comment documents them.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	controlPath = "/_sandbox/"
	maxAnswer   = 1 << 30 // bytes that a Fault's Size may ask for
)

// withControl adds the control API to the providers.
func (s *Sandbox) withControl(providers http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+controlPath+"script", func(w http.ResponseWriter, r *http.Request) {
		var order script
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil {
			err = decodeStrictly(body, &order)
		}
		if err == nil {
			err = order.check()
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		order.apply(s)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+controlPath+"ledger", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Ledger())
	})
	mux.HandleFunc("POST "+controlPath+"reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, controlPath) {
			mux.ServeHTTP(w, r)
			return
		}
		providers.ServeHTTP(w, r) // past the mux, which would clean their paths
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(marshal(v), '\n'))
}

// script is an order of the control API.
type script struct {
	Provider      Provider  `json:"provider"`
	Endpoint      Endpoint  `json:"endpoint"`
	Faults        []Fault   `json:"faults"`
	Always        *Fault    `json:"always"`
	Revoke        bool      `json:"revoke"`
	TokenLifetime *duration `json:"token_lifetime"`
	ClockOffset   *duration `json:"clock_offset"`
}

// check fills in the default and says what is wrong.
func (o *script) check() error {
	if o.Endpoint == "" {
		o.Endpoint = Token
	}
	ofProvider := o.Revoke || o.Always != nil || len(o.Faults) > 0
	switch {
	case !ofProvider && o.TokenLifetime == nil && o.ClockOffset == nil:
		return errors.New("the script has no effect: give it faults, always, revoke, token_lifetime or clock_offset")
	case ofProvider && !slices.Contains(Providers(), o.Provider):
		return fmt.Errorf("provider %q is none of %q", o.Provider, Providers())
	case o.Endpoint == Refresh && o.Provider != BlinkLegacy:
		return fmt.Errorf("endpoint %q is of provider %q only", Refresh, BlinkLegacy)
	case !slices.Contains([]Endpoint{Token, Refresh, API}, o.Endpoint):
		return fmt.Errorf("endpoint %q is none of %q", o.Endpoint, []Endpoint{Token, Refresh, API})
	}
	return nil
}

func (o *script) apply(s *Sandbox) {
	if o.Revoke {
		s.Revoke(o.Provider)
	}
	if o.TokenLifetime != nil {
		s.SetTokenLifetime(time.Duration(*o.TokenLifetime))
	}
	if o.ClockOffset != nil {
		s.SetClockOffset(time.Duration(*o.ClockOffset))
	}
	if o.Always != nil {
		s.Always(o.Provider, o.Endpoint, *o.Always)
	}
	s.Script(o.Provider, o.Endpoint, o.Faults...)
}

// decodeStrictly takes no field that v does not have: a mistyped fault would
// pass for a normal answer.
func decodeStrictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more after the JSON document")
	}
	return nil
}

// faultJSON is a Fault with the fields that JSON has in another form.
type faultJSON struct {
	*plainFault
	Delay      duration             `json:"delay,omitzero"`
	Drip       duration             `json:"drip,omitzero"`
	DateOffset duration             `json:"date_offset,omitzero"`
	Header     map[string]oneOrMany `json:"header,omitempty"`
}

type plainFault Fault // without the methods, which would call themselves

// check refuses what no server can send.
func (f *plainFault) check() error {
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not between 200 and 599", f.Status)
	case f.Size > maxAnswer:
		return fmt.Errorf("size %d is more than %d", f.Size, maxAnswer)
	case f.ExpiredOn != "" && f.ExpiredOn != Epoch && !strings.Contains(string(f.ExpiredOn), "2006"):
		return fmt.Errorf("expired_on %q is neither %q nor a layout such as %q", f.ExpiredOn, Epoch, NumericZone)
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (f Fault) MarshalJSON() ([]byte, error) {
	plain := plainFault(f)
	j := faultJSON{&plain, duration(f.Delay), duration(f.Drip), duration(f.DateOffset), nil}
	if len(f.Header) > 0 {
		j.Header = make(map[string]oneOrMany, len(f.Header))
	}
	for name, values := range f.Header {
		j.Header[name] = values
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements [json.Unmarshaler]. A field that a Fault does not
// have is an error.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var plain plainFault
	j := faultJSON{plainFault: &plain}
	if err := decodeStrictly(b, &j); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	if err := plain.check(); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	plain.Delay, plain.Drip, plain.DateOffset = time.Duration(j.Delay), time.Duration(j.Drip), time.Duration(j.DateOffset)
	if len(j.Header) > 0 {
		plain.Header = make(http.Header, len(j.Header))
	}
	for name, values := range j.Header {
		plain.Header[name] = values
	}
	*f = Fault(plain)
	return nil
}

// duration is a text such as "1.5s".
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(b []byte) error {
	parsed, err := time.ParseDuration(string(b))
	*d = duration(parsed)
	return err
}

// oneOrMany is a list of texts, or a text for a list of one.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*o = make([]string, 1)
		return json.Unmarshal(b, &(*o)[0])
	}
	return json.Unmarshal(b, (*[]string)(o))
}
