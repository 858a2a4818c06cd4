// node stands in for what a cluster has and the laboratory has not: a kubelet with its containers, kube-proxy, the cluster's DNS and a cloud
// that gives LoadBalancers addresses. One process, one network namespace: every pod's address is local there, and each pod listens on its own.
//
//	pods.go      pods bound to our node: what they mount and are told, their addresses, their status, their end
//	programs.go  which program stands for an image: the echo servers (echo*.go) or a DNS server
//	kubelet.go   the node itself: its registration, its heartbeat, and the part of the kubelet's API that serves logs
//	services.go  addresses of Services, forwarded to endpoints; addresses of LoadBalancers
//	dns.go       names of Services
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server")
	name := flag.String("name", "node0", "the node's name")
	address := flag.String("address", "10.99.0.1", "the node's address")
	pods := flag.String("pods", "10.244.0.0/16", "addresses of pods, all local")
	balancers := flag.String("load-balancers", "10.98.128.0/17", "addresses of LoadBalancers, all local")
	dns := flag.String("dns", "10.96.0.10", "address of the cluster's DNS server, local; empty: none")
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if err := run(*kubeconfig, *name, *address, *pods, *balancers, *dns); err != nil {
		fmt.Fprintf(os.Stderr, "node: %v\n", err)
		os.Exit(1)
	}
}

func run(kubeconfig, name, address, pods, balancers, dns string) error {
	podRange, err := netip.ParsePrefix(pods)
	if err != nil {
		return fmt.Errorf("--pods: %w", err)
	}
	balancerRange, err := netip.ParsePrefix(balancers)
	if err != nil {
		return fmt.Errorf("--load-balancers: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = 200, 400, "fairlead-lab-node"
	config.ContentType = "application/json" // a handful of objects: rather what people can read
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	logs := &logBook{books: map[string]*book{}}
	if err := serveKubelet(address, logs); err != nil {
		return err
	}
	if err := keepNode(ctx, client, name, address); err != nil {
		return err
	}
	services, err := startServices(ctx, client, balancerRange)
	if err != nil {
		return err
	}
	if dns != "" {
		if err := serveDNS(dns, services); err != nil {
			return err
		}
	}
	return runPods(ctx, client, name, address, podRange, logs)
}
