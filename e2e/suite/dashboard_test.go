//go:build e2e

// A real Prometheus scrapes the locks during a herd, and the dashboard has something to show.

package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/yaml"
)

// scrapes is the time between two of them.
const scrapes = 2 * time.Second

func TestTheDashboardShowsAHerd(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("THE DASHBOARD IS NOT TESTED: there is no prometheus on the PATH (apt-get install prometheus)")
	}
	suite.Test(t, suite.untuned("ten pods that compute, and a Prometheus").
		Assess("every panel has data, and every alert can be asked for", func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			began := time.Now()
			p := suite.scrape(ctx, t)
			pods := suite.shopPods(ctx, t, 10, nil)
			suite.areReady(ctx, t, pods, 2*time.Minute)
			select { // what happened last is to be scraped, too
			case <-time.After(3 * scrapes):
			case <-ctx.Done():
				t.Fatal(context.Cause(ctx))
			}
			for title, expressions := range panels(t, filepath.Join(suite.root, "chart/files/dashboard.json")) {
				for _, e := range expressions {
					if n := p.samples(ctx, t, e, began); n == 0 {
						t.Errorf("panel %q has no data: %s", title, e)
					}
				}
			}
			for alert, e := range alerts(t, filepath.Join(suite.root, "chart/files/rules.yaml")) {
				p.samples(ctx, t, e, began) // whether it can be asked; when it fires promtool tests
				for _, name := range regexp.MustCompile(`startup_lock_\w+`).FindAllString(e, -1) {
					if p.samples(ctx, t, name, began) == 0 {
						t.Errorf("alert %s looks at %s, which has no data", alert, name)
					}
				}
			}
			if n := p.samples(ctx, t, `startup_lock_queue_claims > 0`, began); n == 0 {
				t.Error("nobody was seen to wait: that was no herd")
			}
			return ctx
		}).
		Feature())
}

// prometheus is one that runs.
type prometheus struct{ base string }

// scrape starts a Prometheus that asks the lock of each node, through the API server, until the test ends.
func (r *runner) scrape(ctx context.Context, t *testing.T) prometheus {
	t.Helper()
	dir := t.TempDir()
	tls := r.cluster.Config.TLSClientConfig
	for name, data := range map[string][]byte{"ca": tls.CAData, "cert": tls.CertData, "key": tls.KeyData} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pods, err := r.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: r.herd.Lock.Selector})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("find the locks: %d, %v", len(pods.Items), err)
	}
	config, err := yaml.Marshal(map[string]any{
		"global": map[string]any{"scrape_interval": scrapes.String(), "scrape_timeout": scrapes.String()}, "scrape_configs": r.targets(pods.Items, dir),
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(folder(t), "prometheus.log")
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = out.Close()
	})
	p := prometheus{"http://" + address}
	err = poll(ctx, time.Minute, func() (bool, error) {
		resp, err := http.Get(p.base + "/-/ready")
		if err != nil {
			return false, nil
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		t.Fatalf("prometheus does not become ready: %v; see %s", err, log)
	}
	return p
}

// targets are what a PodMonitor of the chart would make of the locks' pods.
func (r *runner) targets(pods []corev1.Pod, dir string) []any {
	server := strings.TrimPrefix(r.cluster.Config.Host, "https://")
	var all []any
	for _, pod := range pods {
		all = append(all, map[string]any{
			"job_name": pod.Name, "scheme": "https",
			"metrics_path": fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy/metrics", pod.Namespace, pod.Name, r.herd.Lock.Port),
			"tls_config":   map[string]any{"ca_file": dir + "/ca", "cert_file": dir + "/cert", "key_file": dir + "/key"},
			"static_configs": []any{map[string]any{"targets": []string{server}, "labels": map[string]string{
				"job": release, "namespace": pod.Namespace, "pod": pod.Name, "node": pod.Spec.NodeName,
			}}},
		})
	}
	return all
}

// samples asks for an expression over the time since then, and counts the answers.
func (p prometheus) samples(ctx context.Context, t *testing.T, expression string, since time.Time) int {
	t.Helper()
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	query := url.Values{"query": {expression}, "start": {seconds(since)}, "end": {seconds(time.Now())}, "step": {scrapes.String()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/api/v1/query_range?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Values []any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Errorf("%s: %s %v", expression, answer.Error, err)
		return 0
	}
	n := 0
	for _, series := range answer.Data.Result {
		n += len(series.Values)
	}
	return n
}

// panels are the expressions of a dashboard by the titles of its panels, with Grafana's variables filled in.
func panels(t *testing.T, file string) map[string][]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &dashboard)
	}
	if err != nil || len(dashboard.Panels) == 0 {
		t.Fatalf("read %s: %v", file, err)
	}
	fill := strings.NewReplacer("$namespace", ".*", "$node", ".*", "$__rate_interval", "30s")
	all := map[string][]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all[panel.Title] = append(all[panel.Title], fill.Replace(target.Expr))
		}
	}
	return all
}

// alerts are the expressions of a rules file by the names of its alerts.
func alerts(t *testing.T, file string) map[string]string {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(data, &rules)
	}
	if err != nil || len(rules.Groups) == 0 {
		t.Fatalf("read %s: %v", file, err)
	}
	all := map[string]string{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = rule.Expr
		}
	}
	return all
}
