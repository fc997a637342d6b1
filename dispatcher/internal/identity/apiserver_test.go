package identity_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
)

// apiServer speaks as much of Kubernetes' API as the dispatcher and the contract need; the contract holds it to what a real one says.
type apiServer struct {
	*httptest.Server

	t   *testing.T
	key []byte

	mu sync.Mutex // guards the others
	// pods are the nodes of pods, by namespace/name, and uids their UIDs.
	pods, uids map[string]string
	// roles are the non-resource URLs of cluster roles, and bound the roles of users.
	roles map[string][]string
	bound map[string][]string
	// away breaks each connection; extra is said of each token besides what it says.
	away  bool
	extra map[string]authenticationv1.ExtraValue
	// reviews counts the requests of each kind.
	tokenReviews, accessReviews int
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{
		t: t, key: []byte(rand.Text()), pods: map[string]string{}, uids: map[string]string{}, roles: map[string][]string{}, bound: map[string][]string{},
	}
	a.Server = httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(a.Close)

	return a
}

func (a *apiServer) config() *rest.Config { return &rest.Config{Host: a.URL} }

// do runs something while no request is answered.
func (a *apiServer) do(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *apiServer) answer(out http.ResponseWriter, in *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away {
		panic(http.ErrAbortHandler)
	}
	part := strings.Split(strings.TrimPrefix(in.URL.Path, "/"), "/")
	var body map[string]any
	text, err := readBody(in, &body)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)

		return
	}
	switch what := in.Method + " " + part[len(part)-1]; {
	case what == "POST tokenreviews":
		a.tokenReviews++
		var review authenticationv1.TokenReview
		_ = json.Unmarshal(text, &review)
		a.review(&review)
		say(out, review)
	case what == "POST subjectaccessreviews":
		a.accessReviews++
		var review authorizationv1.SubjectAccessReview
		_ = json.Unmarshal(text, &review)
		asked := review.Spec.NonResourceAttributes
		for _, role := range a.bound[review.Spec.User] {
			review.Status.Allowed = review.Status.Allowed || asked.Verb == "get" && slices.Contains(a.roles[role], asked.Path)
		}
		say(out, review)
	case what == "POST token":
		// /api/v1/namespaces/NAMESPACE/serviceaccounts/NAME/token
		var request authenticationv1.TokenRequest
		_ = json.Unmarshal(text, &request)
		pod := ""
		if request.Spec.BoundObjectRef != nil {
			pod = part[3] + "/" + request.Spec.BoundObjectRef.Name
		}
		request.Status.Token = a.sign(part[3]+":"+part[5], pod, time.Duration(*request.Spec.ExpirationSeconds)*time.Second, request.Spec.Audiences...)
		say(out, request)
	case what == "POST pods":
		a.addPod(part[3]+"/"+name(body), body["spec"].(map[string]any)["nodeName"].(string)) //nolint:forcetypeassert // it panics, and the test shows it
		say(out, map[string]any{"metadata": map[string]any{"name": name(body), "uid": a.uids[part[3]+"/"+name(body)]}})
	case what == "POST clusterroles":
		for _, url := range body["rules"].([]any)[0].(map[string]any)["nonResourceURLs"].([]any) { //nolint:forcetypeassert // it panics, and the test shows it
			a.roles[name(body)] = append(a.roles[name(body)], url.(string)) //nolint:forcetypeassert // it panics, and the test shows it
		}
		say(out, body)
	case what == "POST clusterrolebindings":
		subject := body["subjects"].([]any)[0].(map[string]any) //nolint:forcetypeassert // it panics, and the test shows it
		user := fmt.Sprintf("system:serviceaccount:%s:%s", subject["namespace"], subject["name"])
		a.bound[user] = append(a.bound[user], body["roleRef"].(map[string]any)["name"].(string)) //nolint:forcetypeassert // it panics, and the test shows it
		say(out, body)
	case in.Method == http.MethodDelete && len(part) == 6 && part[4] == "pods":
		delete(a.pods, part[3]+"/"+part[5])
		say(out, body)
	case what == "POST namespaces", what == "POST serviceaccounts", in.Method == http.MethodDelete:
		say(out, body)
	default:
		http.Error(out, what, http.StatusNotFound)
	}
}

func readBody(in *http.Request, into *map[string]any) ([]byte, error) {
	var text json.RawMessage
	if in.ContentLength == 0 {
		return nil, nil
	}
	if err := json.NewDecoder(in.Body).Decode(&text); err != nil {
		return nil, err
	}

	return text, json.Unmarshal(text, into)
}

func name(object map[string]any) string {
	return object["metadata"].(map[string]any)["name"].(string) //nolint:forcetypeassert // it panics, and the test shows it
}

func say(out http.ResponseWriter, what any) {
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(out).Encode(what) //nolint:errchkjson // a client that gets half of it complains
}

// addPod has a pod run on a node.
func (a *apiServer) addPod(pod, node string) { a.pods[pod], a.uids[pod] = node, "uid of "+pod }

// said is what a token says of itself.
type said struct {
	Audience []string `json:"aud"`
	Account  string   `json:"sub"`
	Pod      string   `json:"pod,omitempty"`
	Expires  int64    `json:"exp"`
	Issued   int64    `json:"iat"`
	ID       string   `json:"jti"`
	// Kubernetes has the UIDs of what it is bound to.
	Kubernetes map[string]map[string]string `json:"kubernetes.io"`
}

// sign makes a token of a service account, NAMESPACE:NAME, that is bound to a pod, NAMESPACE/NAME, if one is given; its time begins an hour
// ago if it is over.
func (a *apiServer) sign(account, pod string, life time.Duration, audiences ...string) string {
	issued := time.Now()
	if life < 0 {
		issued, life = issued.Add(-time.Hour), time.Hour+life
	}
	bound := map[string]map[string]string{"serviceaccount": {"uid": "uid of " + account}}
	if pod != "" {
		bound["pod"] = map[string]string{"uid": "uid of " + pod}
	}
	payload, err := json.Marshal(said{
		Audience: audiences, Account: account, Pod: pod, Expires: issued.Add(life).Unix(), Issued: issued.Unix(), ID: rand.Text(), Kubernetes: bound,
	})
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(payload)

	return signed + "." + a.signature(signed)
}

func (a *apiServer) signature(text string) string {
	hash := hmac.New(sha256.New, a.key)
	hash.Write([]byte(text))

	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

// review answers as an API server of Kubernetes 1.32 does.
func (a *apiServer) review(review *authenticationv1.TokenReview) {
	token := review.Spec.Token
	review.Spec.Token = ""
	last := strings.LastIndex(token, ".")
	if last < 0 || a.signature(token[:last]) != token[last+1:] {
		review.Status.Error = "[invalid bearer token]"

		return
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var of said
	_ = json.Unmarshal(payload, &of)
	meant := slices.DeleteFunc(slices.Clone(review.Spec.Audiences), func(one string) bool { return !slices.Contains(of.Audience, one) })
	_, runs := a.pods[of.Pod]
	switch {
	case of.Expires < time.Now().Unix():
		review.Status.Error = "[invalid bearer token, service account token has expired]"
	case len(meant) == 0:
		review.Status.Error = "[invalid bearer token, token audiences are not the target audiences]"
	case of.Pod != "" && !runs:
		review.Status.Error = "[invalid bearer token, service account token has been invalidated]"
	default:
		review.Status.Authenticated, review.Status.Audiences = true, meant
		review.Status.User = authenticationv1.UserInfo{Username: "system:serviceaccount:" + of.Account, Extra: map[string]authenticationv1.ExtraValue{}}
		if of.Pod != "" {
			_, pod, _ := strings.Cut(of.Pod, "/")
			review.Status.User.Extra["authentication.kubernetes.io/node-name"] = []string{a.pods[of.Pod]}
			review.Status.User.Extra["authentication.kubernetes.io/pod-name"] = []string{pod}
			review.Status.User.Extra["authentication.kubernetes.io/pod-uid"] = []string{a.uids[of.Pod]}
		}
		maps.Copy(review.Status.User.Extra, a.extra)
	}
}
