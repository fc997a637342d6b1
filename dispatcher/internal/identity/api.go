package identity

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

const (
	// questions is how many reviews a second the API server is asked for at most, and questionsAtOnce how many of a burst. After a restart
	// 10,000 executors come within 20 s, with a new token each now and then; the API server's own fairness protects it.
	questions       = 1000
	questionsAtOnce = 2000
)

// API asks a real API server. It has clients of its own for the two reviews: client-go's set of all clients would make the program
// half as large again.
type API struct {
	authentication, authorization *rest.RESTClient
	parameters                    runtime.ParameterCodec
}

var _ Reviewer = &API{}

// NewAPI returns a client of an API server; config is left as it is.
func NewAPI(config *rest.Config) (*API, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{authenticationv1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("learn the API's types: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	shared := rest.CopyConfig(config)
	shared.QPS, shared.Burst, shared.APIPath = questions, questionsAtOnce, "/apis"
	shared.WarningHandler = rest.NoWarnings{}
	shared.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	transport, err := rest.HTTPClientFor(shared)
	if err != nil {
		return nil, fmt.Errorf("the API server's client: %w", err)
	}
	api := &API{parameters: runtime.NewParameterCodec(scheme)}
	for _, group := range []struct {
		version schema.GroupVersion
		client  **rest.RESTClient
	}{{authenticationv1.SchemeGroupVersion, &api.authentication}, {authorizationv1.SchemeGroupVersion, &api.authorization}} {
		of := rest.CopyConfig(shared)
		of.GroupVersion = &group.version
		if *group.client, err = rest.RESTClientForConfigAndClient(of, transport); err != nil {
			return nil, fmt.Errorf("the API server's client for %s: %w", group.version, err)
		}
	}

	return api, nil
}

// Token asks by TokenReview.
func (a *API) Token(ctx context.Context, token, audience string) (authenticationv1.TokenReviewStatus, error) {
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	var answer authenticationv1.TokenReview
	err := a.authentication.Post().Resource("tokenreviews").VersionedParams(&metav1.CreateOptions{}, a.parameters).Body(&review).Do(ctx).Into(&answer)

	return answer.Status, err //nolint:wrapcheck // the caller says what was asked
}

// Access asks by SubjectAccessReview.
func (a *API) Access(ctx context.Context, user authenticationv1.UserInfo, path string) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}}
	var answer authorizationv1.SubjectAccessReview
	err := a.authorization.Post().Resource("subjectaccessreviews").VersionedParams(&metav1.CreateOptions{}, a.parameters).Body(&review).Do(ctx).Into(&answer)

	return answer.Status.Allowed && !answer.Status.Denied, err //nolint:wrapcheck // the caller says what was asked
}
