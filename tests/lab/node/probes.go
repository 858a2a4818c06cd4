package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe asks a container once, as a kubelet would: from the node, or by a command within.
func (m *machine) probe(p *program, now *process, probe *corev1.Probe) error {
	timeout := time.Duration(max(probe.TimeoutSeconds, 1)) * time.Second
	switch {
	case probe.Exec != nil:
		return now.ask(probe.Exec.Command, timeout)
	case probe.TCPSocket != nil:
		port, err := portOf(p.spec, probe.TCPSocket.Port)
		if err != nil {
			return err
		}
		connection, err := net.DialTimeout("tcp", net.JoinHostPort(m.ip.String(), port), timeout)
		if err != nil {
			return err
		}
		return connection.Close()
	case probe.HTTPGet != nil:
		return m.probeHTTP(p, probe.HTTPGet, timeout)
	}
	return errors.New("the laboratory has no probes of this kind")
}

func (m *machine) probeHTTP(p *program, get *corev1.HTTPGetAction, timeout time.Duration) error {
	port, err := portOf(p.spec, get.Port)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(get.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s://%s/%s", scheme, net.JoinHostPort(m.ip.String(), port), strings.TrimPrefix(get.Path, "/")), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/lab")
	for _, header := range get.HTTPHeaders {
		request.Header.Set(header.Name, header.Value)
	}
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode >= 400 {
		return fmt.Errorf("%s: %s", request.URL, answer.Status)
	}
	return nil
}

func portOf(container *corev1.Container, port intstr.IntOrString) (string, error) {
	if port.Type == intstr.Int {
		return strconv.Itoa(port.IntValue()), nil
	}
	for _, p := range container.Ports {
		if p.Name == port.StrVal {
			return strconv.Itoa(int(p.ContainerPort)), nil
		}
	}
	return "", fmt.Errorf("container %s has no port %q", container.Name, port.StrVal)
}

// watchProbes asks a container until ctx ends or it does: first whether it has started, then again and again whether it is ready and alive.
func (m *machine) watchProbes(ctx context.Context, p *program, now *process) {
	tell := func(change func()) {
		select {
		case m.events <- func() {
			if p.process == now {
				change()
			}
		}:
		case <-ctx.Done():
		case <-now.done:
		}
	}
	fail := func(kind string, err error) {
		p.book.printf("[node] %s probe failed: %v", kind, err)
		tell(func() { m.unwell(p, now) })
	}
	if p.spec.StartupProbe != nil {
		if err := m.keepAsking(ctx, p, now, p.spec.StartupProbe, func(bool, error) bool { return false }); err != nil {
			fail("startup", err)
			return
		}
		if ctx.Err() != nil || now.ended() {
			return
		}
	}
	tell(func() { p.started, p.ready = true, p.spec.ReadinessProbe == nil })
	if p.spec.ReadinessProbe != nil {
		go func() {
			_ = m.keepAsking(ctx, p, now, p.spec.ReadinessProbe, func(well bool, err error) bool {
				if !well {
					p.book.printf("[node] readiness probe failed: %v", err)
				}
				tell(func() { p.ready = well })
				return true
			})
		}()
	}
	if p.spec.LivenessProbe != nil {
		if err := m.keepAsking(ctx, p, now, p.spec.LivenessProbe, func(well bool, _ error) bool { return well }); err != nil {
			fail("liveness", err)
		}
	}
}

// keepAsking calls `changed` when the verdict of a probe changes, for as long as that returns true. The error of a verdict that was bad.
// Until the first verdict it asks more often than a kubelet would, so that nobody here waits for a period to end, but counts a failure in each period only.
func (m *machine) keepAsking(ctx context.Context, p *program, now *process, probe *corev1.Probe, changed func(well bool, err error) bool) error {
	const eager = 200 * time.Millisecond
	period := time.Duration(max(probe.PeriodSeconds, 1)) * time.Second
	wait := time.Duration(probe.InitialDelaySeconds) * time.Second
	good, bad, verdict := int32(0), int32(0), 0
	counted := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-now.done:
			return nil
		case <-time.After(wait):
		}
		err := m.probe(p, now, probe)
		if err == nil {
			good, bad = good+1, 0
		} else if good = 0; verdict != 0 || time.Since(counted) >= period {
			bad, counted = bad+1, time.Now()
		}
		before := verdict
		switch {
		case good >= max(probe.SuccessThreshold, 1):
			verdict = 1
		case bad >= max(probe.FailureThreshold, 1):
			verdict = -1
		}
		if verdict != before && !changed(verdict == 1, err) {
			return err
		}
		if wait = period; verdict == 0 {
			wait = min(period, eager)
		}
	}
}
