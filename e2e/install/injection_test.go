// The policy that injects: where it is made, and what it says. What the API server makes of it the e2e suite shows.

package install

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"
)

// injection renders the policy and its binding, as on a cluster that has these API versions; "" is neither.
func injection(t *testing.T, values string, apis ...string) (docs []string) {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	version := kubeVersion()
	install := action.NewInstall(memoryCluster())
	install.KubeVersion, install.APIVersions = &version, chartutil.VersionSet(apis)
	install.ReleaseName, install.Namespace, install.ClientOnly, install.DryRun = "lock", "startup", true, true
	r, err := install.RunWithContext(t.Context(), loadChart(t), v)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(r.Manifest, "\n---\n") {
		if strings.Contains(doc, "templates/injection.yaml") && strings.Contains(doc, "\nkind: ") {
			docs = append(docs, doc)
		}
	}
	return docs
}

func TestInjectionIsThereWhereTheClusterHasIt(t *testing.T) {
	t.Parallel()
	const v1, beta = "admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1"
	const kind = "/MutatingAdmissionPolicy"
	tests := map[string]struct {
		values string
		apis   []string
		want   string // API version; empty is none
	}{
		"1.36":                      {``, []string{v1 + kind, beta + kind}, v1},
		"beta only":                 {``, []string{beta + kind}, beta},
		"older":                     {``, nil, ""},
		"switched off":              {`{injection: {enabled: false}}`, []string{v1 + kind}, ""},
		"wanted, unknown cluster":   {`{injection: {enabled: true}}`, nil, v1},
		"wanted, and it has a beta": {`{injection: {enabled: true}}`, []string{beta + kind}, beta},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := injection(t, test.values, test.apis...)
			if test.want == "" && len(got) == 0 {
				return
			}
			if len(got) != 2 || !strings.Contains(got[0], "\napiVersion: "+test.want+"\n") || !strings.Contains(got[1], "\napiVersion: "+test.want+"\n") {
				t.Errorf("want policy and binding of %q, got\n%s", test.want, got)
			}
		})
	}
}

func TestInjectionNeverBlocksAPodAndFollowsItsService(t *testing.T) {
	t.Parallel()
	docs := injection(t, `{service: {port: 9000}, injection: {enabled: true, daemonSets: true, namespaceSelector: {matchLabels: {startup-lock: blue}}}}`)
	var p admissionv1.MutatingAdmissionPolicy
	var b admissionv1.MutatingAdmissionPolicyBinding
	if err := yaml.UnmarshalStrict([]byte(docs[0]), &p); err != nil {
		t.Fatalf("%v in\n%s", err, docs[0])
	}
	if err := yaml.UnmarshalStrict([]byte(docs[1]), &b); err != nil {
		t.Fatalf("%v in\n%s", err, docs[1])
	}
	if *p.Spec.FailurePolicy != admissionv1.Ignore {
		t.Errorf("failurePolicy %s", *p.Spec.FailurePolicy)
	}
	if *b.Spec.ParamRef.ParameterNotFoundAction != admissionv1.AllowAction || b.Spec.ParamRef.Name != "lock-pod-startup-lock" || b.Spec.ParamRef.Namespace != "startup" || b.Spec.PolicyName != p.Name {
		t.Errorf("binding %+v", b.Spec)
	}
	rules := p.Spec.MatchConstraints.ResourceRules
	if len(rules) != 1 || len(rules[0].Operations) != 1 || rules[0].Operations[0] != admissionv1.Create {
		t.Errorf("rules %+v", rules)
	}
	if got := p.Spec.MatchConstraints.NamespaceSelector.MatchLabels["startup-lock"]; got != "blue" {
		t.Errorf("namespaces with %q", got)
	}
	for _, c := range p.Spec.MatchConditions {
		if c.Name == "not-of-a-daemonset" {
			t.Error("DaemonSets were wanted")
		}
	}
	waits := ""
	for _, v := range p.Spec.Variables {
		if v.Name == "waits" {
			waits = v.Expression
		}
	}
	for _, want := range []string{`"--host=" + variables.host`, `"--port=9000"`, `"metadata.annotations['startup-lock.io/weight']"`, `"runAsNonRoot": dyn(true)`} {
		if !strings.Contains(waits, want) {
			t.Errorf("no %s in\n%s", want, waits)
		}
	}
}
