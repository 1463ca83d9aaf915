// outlook_page.go is an outlook as one HTML file.

package report

import (
	"bytes"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
)

// OutlookPage is the name of an outlook's file.
const OutlookPage = "outlook.html"

type outlookView struct {
	Title, Advice string
	Style         template.CSS
	Picture       template.HTML
	Rows          []outlookRow
	Groups        []groupView
}

type outlookRow struct {
	Name, Slots, Ready, AllReady, Ratio, Mean, Wait string
	Never                                           bool
	Restarts                                        int
}

// Page is the outlook as one HTML file that needs nothing else.
func (o *Outlook) Page() ([]byte, error) {
	t, err := template.ParseFS(files, OutlookPage)
	if err != nil {
		return nil, fmt.Errorf("parse the outlook's page: %w", err)
	}
	v := outlookView{
		Title: o.Headline(), Advice: o.Advice(), Style: pageStyle(),
		Picture: template.HTML(o.inline()), //nolint:gosec // every text in it is escaped where it is drawn
	}
	for _, r := range o.rows() {
		s := r.Summary
		v.Rows = append(v.Rows, outlookRow{
			Name: r.Run.Policy.Name, Slots: slots(r), Ready: fmt.Sprintf("%d of %d", s.Healthy, s.Sound),
			AllReady: allReady(r), Never: s.AllReady == nil, Ratio: ratio(s.Ratio), Mean: since(s.MeanReady), Wait: since(s.LongestWait), Restarts: s.Restarts,
		})
	}
	for _, g := range o.Scenario.Pods {
		v.Groups = append(v.Groups, newGroupView(g))
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("render the outlook's page: %w", err)
	}
	return out.Bytes(), nil
}

// Write writes the page into a folder, which it makes. It returns the page's path.
func (o *Outlook) Write(dir string) (string, error) {
	page, err := o.Page()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make folder for the outlook: %w", err)
	}
	path := filepath.Join(dir, OutlookPage)
	if err := os.WriteFile(path, page, 0o644); err != nil {
		return "", fmt.Errorf("write outlook: %w", err)
	}
	return path, nil
}
