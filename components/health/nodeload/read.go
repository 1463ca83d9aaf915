// The two requests, and what can be wrong with their answers.

package nodeload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// maxAnswer is more than a Node with all its images takes.
const maxAnswer = 8 << 20

// readAllocatable returns CPUs, more than 0.
func (p *Poller) readAllocatable(ctx context.Context) (float64, error) {
	var node struct {
		Status struct {
			Allocatable struct {
				CPU resource.Quantity `json:"cpu"`
			} `json:"allocatable"`
		} `json:"status"`
	}
	if err := p.get(ctx, &node, "nodes", "api/v1/nodes"); err != nil {
		return 0, err
	}
	cpu := node.Status.Allocatable.CPU.AsApproximateFloat64()
	if cpu <= 0 {
		return 0, fmt.Errorf("node %s has no allocatable cpu", p.cfg.Node)
	}
	return cpu, nil
}

// readUse returns CPUs, and when they were used.
func (p *Poller) readUse(ctx context.Context) (float64, time.Time, error) {
	var metrics struct {
		Timestamp time.Time `json:"timestamp"`
		Usage     struct {
			CPU *resource.Quantity `json:"cpu"`
		} `json:"usage"`
	}
	if err := p.get(ctx, &metrics, "nodes.metrics.k8s.io", "apis/metrics.k8s.io/v1beta1/nodes"); err != nil {
		return 0, time.Time{}, err
	}
	if metrics.Usage.CPU == nil || metrics.Usage.CPU.Sign() < 0 {
		return 0, time.Time{}, fmt.Errorf("the metrics of node %s do not say how much cpu is used", p.cfg.Node)
	}
	return metrics.Usage.CPU.AsApproximateFloat64(), metrics.Timestamp, nil
}

// get reads the object of that resource which has the node's name.
func (p *Poller) get(ctx context.Context, into any, resource, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.cfg.BaseURL.JoinPath(path, p.cfg.Node).String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the address says nothing new
		}
		return fmt.Errorf("get %s: %w: %w", resource, errNoAnswer, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("get %s: %w in full: %w", resource, errNoAnswer, err)
	}
	if resp.StatusCode != http.StatusOK {
		return p.refusal(resource, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read %s %s: %w", resource, p.cfg.Node, err)
	}
	return nil
}

// refusal says what to do about an answer that is none.
func (p *Poller) refusal(resource string, code int, body []byte) error {
	var status struct { // a Status, when it was an API that answered
		Message string `json:"message"`
		Details struct {
			Name string `json:"name"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		status.Message = strings.Join(strings.Fields(fmt.Sprintf("%.200s", body)), " ")
	}
	metrics := strings.HasSuffix(resource, ".metrics.k8s.io")
	switch {
	case code == http.StatusForbidden:
		return fmt.Errorf("health's role does not allow it to get %s: %s", resource, status.Message)
	case code == http.StatusNotFound && metrics && status.Details.Name == p.cfg.Node:
		return fmt.Errorf("metrics.k8s.io has not measured node %s yet", p.cfg.Node)
	case code == http.StatusNotFound && metrics:
		return errors.New("metrics.k8s.io is not served: is metrics-server installed? (or switch it off)")
	case code == http.StatusServiceUnavailable && metrics:
		return fmt.Errorf("metrics.k8s.io does not answer: is metrics-server running? (%s)", status.Message)
	default:
		return fmt.Errorf("get %s %s: status %d: %s", resource, p.cfg.Node, code, status.Message)
	}
}
