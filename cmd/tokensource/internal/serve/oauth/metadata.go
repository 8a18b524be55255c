package oauth

import "net/http"

// metadata is RFC 8414, section 3.2.
type metadata struct {
	Issuer             string   `json:"issuer"`
	TokenEndpoint      string   `json:"token_endpoint"`
	TokenMethods       []string `json:"token_endpoint_auth_methods_supported"`
	RevocationEndpoint string   `json:"revocation_endpoint"`
	RevocationMethods  []string `json:"revocation_endpoint_auth_methods_supported"`
	GrantTypes         []string `json:"grant_types_supported"`
	ResponseTypes      []string `json:"response_types_supported"` // required; there is no authorization endpoint
}

// metadata needs no secret: it says nothing but what the client asked for. The
// issuer is what it asked, as section 3.3 wants it.
func (e *Endpoint) metadata(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		e.fail(w, r, &fault{status: http.StatusMethodNotAllowed, code: "invalid_request", description: "GET only"})
		return
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	issuer := scheme + "://" + r.Host + "/" + e.Name
	methods := []string{"client_secret_basic", "client_secret_post"}
	answer(w, http.StatusOK, metadata{
		Issuer:             issuer,
		TokenEndpoint:      issuer + "/token",
		TokenMethods:       methods,
		RevocationEndpoint: issuer + "/invalidate",
		RevocationMethods:  methods,
		GrantTypes:         []string{"client_credentials"},
		ResponseTypes:      []string{},
	})
}
