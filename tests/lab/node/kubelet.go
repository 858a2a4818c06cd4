package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const kubeletPort = 10250

// keepNode registers the node as Ready and renews its Lease, by which the node controller knows that it lives.
func keepNode(ctx context.Context, client kubernetes.Interface, name, address string) error {
	room := corev1.ResourceList{"cpu": resource.MustParse("1000"), "memory": resource.MustParse("1Ti"), "pods": resource.MustParse("5000"),
		"ephemeral-storage": resource.MustParse("1Ti")}
	now := metav1.Now()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
			"topology.kubernetes.io/zone": "zone-a"}},
		Status: corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: name}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "LabNode", Message: "there is no kubelet",
				LastHeartbeatTime: now, LastTransitionTime: now}},
		},
	}
	if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("registering the node: %w", err)
	}
	go func() {
		for ctx.Err() == nil {
			if err := renew(ctx, client, name); err != nil {
				log.Printf("node lease: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
		}
	}()
	return nil
}

func renew(ctx context.Context, client kubernetes.Interface, name string) error {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	seconds, now := int32(40), metav1.NowMicro()
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: corev1.NamespaceNodeLease},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now}}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// serveKubelet answers what the API server asks of a kubelet for `kubectl logs`, `port-forward` and `exec` (the last two of pods that really run).
func serveKubelet(address string, agent *podAgent) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab-node"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(kubeletPort)))
	if err != nil {
		return fmt.Errorf("the kubelet's API: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		agent.logs.serve(w, r, r.PathValue("namespace")+"/"+r.PathValue("pod")+"/"+r.PathValue("container"))
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", agent.servePortForward)
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", agent.serveExec)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "the laboratory's node has no "+r.URL.Path, http.StatusNotImplemented)
	})
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}}
	go func() { log.Printf("the kubelet's API ended: %v", server.ServeTLS(listener, "", "")) }()
	return nil
}

const keptLines = 5000

type line struct {
	at   time.Time
	text string
}

// book holds what one container has printed lately.
type book struct {
	mutex   sync.Mutex
	lines   []line
	dropped int // lines before the first one held
	file    *os.File
}

// logBook holds what containers have printed, by namespace/pod/container.
type logBook struct {
	mutex sync.Mutex
	books map[string]*book
}

func (l *logBook) open(key string) *book {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b := &book{}
	l.books[key] = b
	return b
}

func (l *logBook) forget(key string, b *book) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.books[key] == b {
		delete(l.books, key)
	}
}

func (b *book) printf(format string, args ...any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.lines) == 2*keptLines {
		b.lines = append([]line(nil), b.lines[keptLines:]...)
		b.dropped += keptLines
	}
	text := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
	b.lines = append(b.lines, line{time.Now(), text})
	if b.file != nil {
		fmt.Fprintln(b.file, text)
	}
}

// keepIn has what is printed also written to a file, which outlives the container.
func (b *book) keepIn(path string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
		b.file = file
	}
}

func (b *book) close() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}

// take prints what a process does until it ends.
func (b *book) take(printed io.Reader) {
	lines := bufio.NewReader(printed)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			b.printf("%s", text)
		}
		if err != nil {
			return
		}
	}
}

// from returns the lines from number `first` on, and the number after the last.
func (b *book) from(first int) ([]line, int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	at := max(first-b.dropped, 0)
	return append([]line(nil), b.lines[min(at, len(b.lines)):]...), b.dropped + len(b.lines)
}

func (l *logBook) serve(w http.ResponseWriter, r *http.Request, key string) {
	l.mutex.Lock()
	b := l.books[key]
	l.mutex.Unlock()
	if b == nil {
		http.Error(w, "no container "+key, http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	var since time.Time
	if t, err := time.Parse(time.RFC3339, q.Get("sinceTime")); err == nil {
		since = t
	} else if s, err := strconv.Atoi(q.Get("sinceSeconds")); err == nil {
		since = time.Now().Add(-time.Duration(s) * time.Second)
	}
	lines, next := b.from(0)
	if tail, err := strconv.Atoi(q.Get("tailLines")); err == nil && tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	for {
		for _, line := range lines {
			if line.at.Before(since) {
				continue
			}
			if q.Get("timestamps") == "true" {
				fmt.Fprintf(w, "%s ", line.at.Format(time.RFC3339Nano))
			}
			fmt.Fprintln(w, line.text)
		}
		if q.Get("follow") != "true" {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		lines, next = b.from(next)
	}
}
