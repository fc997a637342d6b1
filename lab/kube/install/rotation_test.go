package install_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"multinic.dev/lab/kube/authority"
)

const (
	// ownSecret has a certificate of the lab's own authority.
	ownSecret = "own-tls"
	// tokenLife is how long the executors' tokens are good. Kubelets ask for none of less than ten minutes, so the test signs them.
	tokenLife = 15 * time.Second
	// renewed is how many sessions at least begin anew, as their tokens are over, while the test looks.
	renewed = 8
	// gapAllowed is for how long at most a node may be without a session.
	gapAllowed = time.Second
)

// certificatesAndTokensRotate changes the certificate, and has tokens end and be replaced every few seconds, while the table is rewritten
// all the time.
func (s *site) certificatesAndTokensRotate() {
	s.putCertificate()
	path := filepath.Join(s.t.TempDir(), "ca.crt")
	s.must(os.WriteFile(path, s.cluster.Authority.Certificate(), 0o600))
	stop := s.shortenTokens()
	defer stop()
	// Another dispatcher, so all sessions are new ones, by tokens that do not last.
	s.helm(append([]string{"upgrade", release, chart, "--wait", "--timeout=4m", "--set=tls.mode=existingSecret", "--set=tls.existingSecret=" + ownSecret, "--set-file=tls.ca=" + path}, s.values()...)...)
	dispatcher := s.pods("dispatcher")[0]
	metrics := "http://" + dispatcher.Status.PodIP + ":8080/metrics"
	s.until(func() bool { return s.metric(metrics, "multinic_dispatcher_sessions") == float64(len(s.nodes)) },
		func() string { return "not all nodes are in session with another CA" })
	s.works(workerA, workerB)

	w := s.listen(workerA, workerB)
	// A session that is to begin anew ends so.
	const ended = `grpc_server_handled_total{grpc_code="Unavailable",grpc_method="Session"`
	before, sessionsBefore := serial(s, dispatcher.Status.PodIP), s.metric(metrics, ended)
	gap := s.watchSessions(metrics)
	s.putCertificate()
	rounds := 0
	for deadline := time.Now().Add(patience); serial(s, dispatcher.Status.PodIP).Cmp(before) == 0 || s.metric(metrics, ended) < sessionsBefore+renewed; rounds++ {
		s.works(workerA, workerB)
		if time.Now().After(deadline) {
			s.t.Fatalf("the certificate is the new one: %t; %v sessions began anew: %s", serial(s, dispatcher.Status.PodIP).Cmp(before) != 0,
				s.metric(metrics, ended)-sessionsBefore, s.state())
		}
	}
	longest, looks := gap()
	s.t.Logf("the table was rewritten %d times and %v sessions began anew; for %v at most one was missing, of %d looks",
		rounds, s.metric(metrics, ended)-sessionsBefore, longest, looks)
	if longest > gapAllowed {
		s.t.Errorf("for %v a node had no session", longest)
	}
	w.silent("certificates and tokens were replaced")
}

// putCertificate gives the dispatcher's Secret a new certificate.
func (s *site) putCertificate() {
	s.t.Helper()
	host := release + "-dispatcher." + namespace + ".svc"
	pair, err := s.cluster.Authority.Server(host, "localhost")
	s.must(err)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: ownSecret}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key},
	}
	if _, err = s.client.CoreV1().Secrets(namespace).Update(s.t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		_, err = s.client.CoreV1().Secrets(namespace).Create(s.t.Context(), secret, metav1.CreateOptions{})
	}
	s.must(err)
}

// serial is the number of the certificate that the dispatcher shows to whoever comes now.
func serial(s *site, address string) *big.Int {
	s.t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	connection, err := dialer.DialContext(s.t.Context(), "tcp", address+":8443")
	s.must(err)
	defer func() { _ = connection.Close() }()
	secured, ok := connection.(*tls.Conn)
	if !ok {
		s.t.Fatalf("the dispatcher's connection is %T", connection)
	}
	return secured.ConnectionState().PeerCertificates[0].SerialNumber
}

// shortenTokens puts tokens that end soon into the place of those that kubelets have put there, again and again, until it is stopped.
func (s *site) shortenTokens() (stop func()) {
	s.t.Helper()
	files := map[string]string{}
	for _, pod := range s.pods("executor") {
		path := s.nodes[pod.Spec.NodeName].Outside("/var/lib/kubelet/pods/" + string(pod.UID) + "/volumes/kubernetes.io~projected/token/token")
		text, err := os.ReadFile(path)
		s.must(err)
		files[path] = string(text)
	}
	return s.always(200*time.Millisecond, func() error {
		now := time.Now()
		for path, token := range files {
			short, err := s.cluster.Authority.Alter(token, authority.Claims{"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix()})
			if err != nil {
				return err
			}
			if err := replace(path, short); err != nil {
				return err
			}
		}
		return nil
	})
}

// replace gives a file that a pod mounts another content, at once: whoever reads finds the one or the other.
func replace(path, content string) error {
	// What a pod sees is a link into a folder that its kubelet replaces.
	folder, name := filepath.Split(path)
	target, err := os.Readlink(filepath.Join(folder, "..data"))
	if err != nil {
		return err
	}
	file := filepath.Join(folder, target, name)
	err = os.WriteFile(file+".new", []byte(content), 0o644)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // It has been replaced just now. The next time is soon.
	}
	return err
}

// always does something again and again until it is stopped. An error fails the test.
func (s *site) always(every time.Duration, do func() error) (stop func()) {
	s.t.Helper()
	s.must(do())
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := do(); err != nil {
					s.t.Error(err)
					return
				}
			}
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// watchSessions looks how many nodes are in session, all the time until the function that it returns is called, which says for how long
// it was not all of them at most, and how often it was looked.
func (s *site) watchSessions(metrics string) (stop func() (longest time.Duration, looks int)) {
	s.t.Helper()
	var longest time.Duration
	looks, all, full := 0, float64(len(s.nodes)), time.Now()
	end := s.always(10*time.Millisecond, func() error {
		sessions, err := readMetric(metrics, "multinic_dispatcher_sessions")
		if err != nil {
			return err
		}
		looks++
		if now := time.Now(); sessions >= all {
			longest, full = max(longest, now.Sub(full)), now
		}
		return nil
	})
	return func() (time.Duration, int) {
		end()
		return longest, looks
	}
}

// metric is the sum of the values of the metrics whose lines begin with a text.
func (s *site) metric(url, begins string) float64 {
	s.t.Helper()
	value, err := readMetric(url, begins)
	s.must(err)
	return value
}

func readMetric(url, begins string) (sum float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), begins) {
			continue
		}
		fields := strings.Fields(lines.Text())
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("read the metric %s: %w", begins, err)
		}
		sum += value
	}
	return sum, lines.Err()
}
