// Package report turns a result into something to look at: report.html, one
// file that needs nothing else, and report.svg, its picture for a README.
package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// The names of the files within a result's folder.
const (
	PageFile    = "report.html"
	PictureFile = "report.svg"
)

//go:embed page.html compare.html outlook.html
var files embed.FS

// Write renders the page and the picture into a folder. It returns the page's path.
func Write(dir string, r *record.Result) (string, error) {
	page, err := Page(r)
	if err != nil {
		return "", err
	}
	for name, data := range map[string][]byte{PageFile: page, PictureFile: Picture(r)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", fmt.Errorf("write report: %w", err)
		}
	}
	return filepath.Join(dir, PageFile), nil
}

// Page is the report as one HTML file.
func Page(r *record.Result) ([]byte, error) {
	t, err := template.New("page.html").Funcs(template.FuncMap{"seconds": seconds}).ParseFS(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("parse the report's page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, newView(r)); err != nil {
		return nil, fmt.Errorf("render the report's page: %w", err)
	}
	return out.Bytes(), nil
}

// view is a result as the page shows it.
type view struct {
	Title, Description, Where string
	Made                      string
	Style                     template.CSS
	Machine                   record.Machine
	Bound                     *record.Bound
	Cores                     int
	Groups                    []groupView
	DaemonSets                []string
	Panels                    []panel
	Failed                    int
}

type groupView struct {
	Name, Count, Startup, Liveness, Readiness, Fault string
}

// panel is one policy.
type panel struct {
	Name, Title, Settings string
	Headline              headline
	Facts                 []fact
	Checks                []record.Check
	Timeline              template.HTML
	Pods                  []podView
}

// headline is the one figure that tells how a run went.
type headline struct {
	Figure, Unit, Text string
	Good               bool
}

type fact struct{ Label, Value, Hint string }

type podView struct {
	Name, Claimed, Granted, Returned, Started, Ready string
	Restarts                                         int
	Why, Fault                                       string
}

func newView(r *record.Result) view {
	v := view{
		Title:       r.Scenario.Name,
		Description: r.Scenario.Description,
		Where:       where(r.On),
		Made:        moment(r.Made),
		Style:       pageStyle(),
		Machine:     r.Machine,
		Bound:       r.Bound,
		Cores:       r.Scenario.Node.Cores,
	}
	for _, g := range r.Scenario.Pods {
		v.Groups = append(v.Groups, newGroupView(g))
	}
	for _, d := range r.Scenario.DaemonSets {
		v.DaemonSets = append(v.DaemonSets, daemonSet(d))
	}
	plots := newPlots(r)
	for i, o := range r.Outcomes {
		for _, c := range o.Checks {
			if !c.Holds {
				v.Failed++
			}
		}
		v.Panels = append(v.Panels, panel{
			Name: o.Run.Policy.Name, Title: title(o.Run.Policy), Settings: o.Run.Policy.String(),
			Headline: newHeadline(o), Facts: facts(o), Checks: o.Checks,
			Timeline: template.HTML(plots[i].inline()), //nolint:gosec // every text in it is escaped where it is drawn
			Pods:     podViews(o.Run),
		})
	}
	return v
}

func where(on string) string {
	switch on {
	case "local":
		return "as processes on one machine"
	case "kind":
		return "as pods on a kind cluster"
	case "sim":
		return "on a model of a node"
	default:
		return "on " + on
	}
}

func title(p spec.Policy) string {
	if p.Lock == nil {
		return "Without the lock"
	}
	return "With the lock"
}

func newHeadline(o record.Outcome) headline {
	s := o.Summary
	if s.AllReady == nil {
		text := fmt.Sprintf("Ready after %s s", seconds(o.Run.Ended))
		if o.Run.GaveUp {
			text = fmt.Sprintf("Ready; gave up after %.0f s", o.Run.Ended)
		}
		return headline{Figure: strconv.Itoa(s.Healthy), Unit: fmt.Sprintf("of %d%s", s.Sound, healthy(s)), Text: text}
	}
	return headline{
		Figure: seconds(*s.AllReady), Unit: "s", Good: s.Restarts == 0,
		Text: fmt.Sprintf("until all %d%s pods were Ready", s.Sound, healthy(s)),
	}
}

func facts(o record.Outcome) []fact {
	s := o.Summary
	f := []fact{
		{"restarts", strconv.Itoa(s.Restarts), "containers started again, all pods together"},
		{"most starters at once", strconv.Itoa(s.Starters), "pods that hold a grant, or have started their application and are not yet Ready"},
	}
	if s.MeanReady != nil {
		label := "mean time to Ready"
		if s.Healthy < s.Sound {
			label += fmt.Sprintf(" (of %d)", s.Healthy)
		}
		f = append(f, fact{label, seconds(*s.MeanReady) + " s", "over the pods that became Ready"})
	}
	if s.Ratio != nil {
		f = append(f, fact{"times the node bound", fmt.Sprintf("%.2f", *s.Ratio), "the node bound is the fastest that this node can possibly do it"})
	}
	if s.LongestWait != nil {
		f = append(f, fact{"longest wait", since(s.LongestWait), "from a pod’s claim to its grant, and without a lock from the appearance of the herd to the first start of its application"})
	}
	if o.Run.Policy.Lock != nil {
		f = append(f, fact{"most grants at once", strconv.Itoa(s.Grants), "from the lock's own record"},
			fact{"order inversions", strconv.Itoa(s.Inversions), "claims that a later one of the same priority has passed"})
	}
	if s.Gate != nil {
		f = append(f, fact{"first grant after the DaemonSets", seconds(*s.Gate) + " s", "from when the last DaemonSet meant for the node was Ready"})
	}
	if s.Pressure != nil {
		f = append(f, fact{"mean CPU pressure", fmt.Sprintf("%.0f %%", *s.Pressure*100), "share of the time in which some task waited for a CPU"})
	}
	return f
}

// daemonSet is one in words.
func daemonSet(d spec.DaemonSet) string {
	switch d.Elsewhere {
	case spec.ByTaint:
		return d.Name + ", kept off the node by a taint"
	case spec.ByAffinity:
		return d.Name + ", meant for another node"
	default:
		return fmt.Sprintf("%s, Ready %s after its start", d.Name, d.ReadyAfter)
	}
}

// fault is one in words.
func fault(f spec.Fault) string {
	switch f {
	case spec.NeverReady:
		return "never says that it is ready"
	case spec.NoImage:
		return "its image cannot be pulled"
	case spec.CrashLoop:
		return "ends as soon as it has started"
	default:
		return ""
	}
}

func newGroupView(g spec.Group) groupView {
	v := groupView{
		Name: g.Name, Count: strconv.Itoa(g.Count), Fault: fault(g.Fault),
		Liveness: probe(g.Probes.Liveness), Readiness: probe(g.Probes.Readiness),
	}
	add := func(text string) {
		if v.Startup != "" {
			v.Startup += ", "
		}
		v.Startup += text
	}
	if g.Startup.Read > 0 {
		add("reads " + g.Startup.Read.String())
	}
	if g.Startup.CPU > 0 {
		add(g.Startup.CPU.String() + " of CPU time")
	}
	if g.Startup.Idle > 0 {
		add(g.Startup.Idle.String() + " idle")
	}
	if v.Startup == "" {
		v.Startup = "nothing"
	}
	return v
}

func probe(p *spec.Probe) string {
	if p == nil {
		return "none"
	}
	s := fmt.Sprintf("every %s", p.Period)
	if p.InitialDelay > 0 {
		s = fmt.Sprintf("after %s, %s", p.InitialDelay, s)
	}
	return s + fmt.Sprintf(", timeout %s, %d failures", p.Timeout, p.Failures)
}

func podViews(run *record.Run) []podView {
	var views []podView
	for _, p := range record.ByClaim(run.Pods) {
		at := func(w record.What) string {
			if t, ok := p.First(w); ok {
				return seconds(t)
			}
			return "–"
		}
		v := podView{
			Name: p.Name, Claimed: at(record.Claimed), Granted: at(record.Granted), Returned: at(record.Returned),
			Started: at(record.Started), Ready: "–", Restarts: len(p.Restarts()), Fault: fault(p.Fault),
		}
		if t, ok := p.ReadyAt(); ok {
			v.Ready = seconds(t)
		}
		for _, e := range p.Events {
			switch e.What {
			case record.Stopped:
				v.Why = e.Note
			case record.Deleted:
				v.Why = "deleted at " + seconds(e.At) + " s"
			}
		}
		views = append(views, v)
	}
	return views
}

// seconds writes a time with as many digits as are of use.
func seconds(t float64) string {
	if t < 10 {
		return fmt.Sprintf("%.2f", t)
	}
	return fmt.Sprintf("%.1f", t)
}
