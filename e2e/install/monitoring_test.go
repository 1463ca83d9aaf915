// What Prometheus and Grafana get: that it fits the pods, and asks for nothing that does not exist.

package install

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// podMonitor and prometheusRule are what the chart uses of the operator's types; any other field fails.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		JobLabel            string               `json:"jobLabel"`
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port, Path, Interval string
			Relabelings          []struct {
				SourceLabels []string `json:"sourceLabels"`
				TargetLabel  string   `json:"targetLabel"`
			}
		} `json:"podMetricsEndpoints"`
	}
}

type prometheusRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ruleFile
}

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// manifests are the rendered objects of a kind.
func manifests(t *testing.T, values, kind string) []string {
	t.Helper()
	r, err := render(t, "psl", "startup", values)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for document := range strings.SplitSeq(r.Manifest, "\n---\n") {
		if regexp.MustCompile(`(?m)^kind: ` + kind + `$`).MatchString(document) {
			all = append(all, document+"\n")
		}
	}
	return all
}

// renderOne is the only object of a kind.
func renderOne[T any](t *testing.T, values, kind string) T {
	t.Helper()
	var v T
	all := manifests(t, values, kind)
	if len(all) != 1 {
		t.Fatalf("%d objects of kind %s", len(all), kind)
	}
	if err := yaml.UnmarshalStrict([]byte(all[0]), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func readChartFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chartPath, "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestNothingOfMonitoringIsThereUnasked(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PodMonitor", "PrometheusRule", "ConfigMap"} {
		for _, values := range []string{"", "monitoring: null"} {
			if all := manifests(t, values, kind); len(all) > 0 {
				t.Errorf("%s", all)
			}
		}
	}
}

func TestThePodMonitorFindsThePods(t *testing.T) {
	t.Parallel()
	values := "monitoring: {podMonitor: {enabled: true, interval: 15s, labels: {release: prometheus, app.kubernetes.io/name: mine}}}"
	m := renderOne[podMonitor](t, values, "PodMonitor")
	pods := mustRender(t, "psl", "startup", "")
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	labels := pods.daemonSet.Spec.Template.Labels
	if len(m.Spec.Selector.MatchLabels) == 0 || !selector.Matches(labelSet(labels)) || labels[m.Spec.JobLabel] != "psl" || m.Namespace != "startup" {
		t.Errorf("%+v does not fit pods with the labels %v", m.Spec, labels)
	}
	if m.Labels["release"] != "prometheus" || m.Labels["app.kubernetes.io/name"] != "pod-startup-lock" {
		t.Errorf("labels %v", m.Labels)
	}
	if len(m.Spec.PodMetricsEndpoints) != 1 {
		t.Fatalf("%+v", m.Spec.PodMetricsEndpoints)
	}
	e := m.Spec.PodMetricsEndpoints[0]
	isPort := func(p corev1.ContainerPort) bool { return p.Name == e.Port }
	if !slices.ContainsFunc(pods.container().Ports, isPort) || e.Path != "/metrics" || e.Interval != "15s" ||
		len(e.Relabelings) != 1 || e.Relabelings[0].TargetLabel != "node" {
		t.Errorf("%+v", e)
	}
}

type labelSet map[string]string

func (l labelSet) Has(label string) bool              { _, ok := l[label]; return ok }
func (l labelSet) Get(label string) string            { return l[label] }
func (l labelSet) Lookup(label string) (string, bool) { v, ok := l[label]; return v, ok }

func TestTheRuleAndTheDashboardAreTheFiles(t *testing.T) {
	t.Parallel()
	rule := renderOne[prometheusRule](t, "monitoring: {prometheusRule: {enabled: true, labels: {release: prometheus}}}", "PrometheusRule")
	var want ruleFile
	if err := yaml.UnmarshalStrict(readChartFile(t, "rules.yaml"), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rule.Spec, want) || rule.Labels["release"] != "prometheus" {
		t.Errorf("got %+v\nwant %+v", rule, want)
	}
	dashboard := renderOne[corev1.ConfigMap](t, "monitoring: {dashboard: {enabled: true, labels: {team: a}}}", "ConfigMap")
	if dashboard.Data["pod-startup-lock.json"] != string(readChartFile(t, "dashboard.json")) {
		t.Error("the dashboard is not the file")
	}
	if dashboard.Labels["grafana_dashboard"] != "1" || dashboard.Labels["team"] != "a" {
		t.Errorf("labels %v", dashboard.Labels)
	}
}

// A runbook in the annotations: what happened, and what to do.
func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	var file ruleFile
	if err := yaml.UnmarshalStrict(readChartFile(t, "rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			if !strings.Contains(r.Annotations["summary"], "{{ $labels.node }}") || len(r.Annotations["description"]) < 100 || r.Labels["severity"] == "" {
				t.Errorf("%s: %v %v", r.Alert, r.Labels, r.Annotations)
			}
		}
	}
	if want := []string{"StartupLockQueueStuck", "StartupLockFailOpens", "StartupLockAway", "StartupLockGateClosed"}; !slices.Equal(alerts, want) {
		t.Errorf("alerts %v, want %v", alerts, want)
	}
}

// series are the names under which the documented metrics are queried, with their labels. A test of each binary keeps
// the documents as its registry is.
func series(t *testing.T) map[string][]string {
	t.Helper()
	docs, err := os.ReadFile("../../components/lock/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (.*?) \\|").FindAllStringSubmatch(string(docs), -1) {
		labels := strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		if row[2] != "histogram" {
			all[row[1]] = labels
			continue
		}
		for suffix, label := range map[string]string{"_bucket": "le", "_sum": "", "_count": ""} {
			all[row[1]+suffix] = append(slices.Clone(labels), label)
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d series in the docs", len(all))
	}
	return all
}

// unknown is what an expression asks for that no lock and no health has: metrics, and labels to group by.
func unknown(expr string, series map[string][]string) []string {
	labels := []string{"namespace", "job", "node", "pod", "instance", "container"} // of the target
	var bad []string
	for _, name := range regexp.MustCompile(`startup_lock_\w+`).FindAllString(expr, -1) {
		if own, ok := series[name]; ok {
			labels = append(labels, own...)
		} else {
			bad = append(bad, name)
		}
	}
	for _, by := range regexp.MustCompile(`\b(?:by|without|on) ?\(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for label := range strings.FieldsFuncSeq(by[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(labels, label) {
				bad = append(bad, label)
			}
		}
	}
	return bad
}

// expressions are all of the dashboard and of the alerts, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(readChartFile(t, "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %q, query %d", p.Title, i+1)] = target.Expr
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Definition != "" {
			all["variable "+v.Name] = v.Definition
		}
	}
	var rules ruleFile
	if err := yaml.UnmarshalStrict(readChartFile(t, "rules.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all["alert "+r.Alert] = r.Expr
		}
	}
	return all
}

func TestPanelsAndAlertsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	known, all := series(t), expressions(t)
	for where, expr := range all {
		if bad := unknown(expr, known); len(bad) > 0 {
			t.Errorf("%s asks for %q: %s", where, bad, expr)
		}
		if !strings.Contains(expr, "startup_lock_") {
			t.Errorf("%s asks for nothing of ours: %s", where, expr)
		}
	}
	if len(all) < 20 {
		t.Errorf("only %d expressions", len(all))
	}
	for expr, want := range map[string]string{
		"rate(startup_lock_wait_seconds[5m])":                   "[startup_lock_wait_seconds]",
		"sum by (le) (startup_lock_wait_seconds_bucket)":        "[]",
		"sum by (reason, node) (startup_lock_grant_ends_total)": "[]",
		"sum by (cause) (startup_lock_grant_ends_total)":        "[cause]",
		"startup_lock_slots":                                    "[startup_lock_slots]",
	} {
		if bad := fmt.Sprint(unknown(expr, known)); bad != want {
			t.Errorf("of %s unknown is %s, want %s", expr, bad, want)
		}
	}
}

func TestPromtoolFindsTheRulesRight(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: no promtool on the PATH (package prometheus): the alerts are neither checked nor tested")
	}
	files := filepath.Join(chartPath, "files")
	var panels strings.Builder
	panels.WriteString("groups: [{name: panels, rules: [")
	i := 0
	for where, expr := range expressions(t) {
		if strings.HasPrefix(where, "panel") { // a rule is what promtool reads an expression from
			i++
			expr = strings.NewReplacer("$__rate_interval", "5m").Replace(expr)
			fmt.Fprintf(&panels, "{record: 'panel:%d', expr: %q},", i, expr)
		}
	}
	panels.WriteString("]}]")
	asRules := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(asRules, []byte(panels.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", filepath.Join(files, "rules.yaml")}, {"check", "rules", asRules},
		{"test", "rules", filepath.Join(files, "rules_test.yaml")}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
