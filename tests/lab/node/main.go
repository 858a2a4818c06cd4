// node stands in for what a cluster has and the laboratory has not: a kubelet with its containers, kube-proxy, the cluster's DNS and a cloud
// that gives LoadBalancers addresses. One process, one network namespace: every pod's address is local there, and each pod listens on its own.
//
//	pods.go      pods bound to our node: what they mount and are told, their addresses, their status, their end
//	programs.go  which program stands for an image: the echo servers (echo*.go) or a DNS server
//	images.go    which images are run, and not stood for: those whose file system is in --images
//	machine.go   a pod of such images from start to end, with sandbox.go (its network), volumes.go, container_init.go and process.go (its containers), probes.go
//	kubelet.go   the node itself: its registration, its heartbeat, and the part of the kubelet's API that serves logs
//	streams.go   the parts that forward ports and run commands
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
	"path/filepath"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	// what this program is when it calls itself
	switch os.Args[0] {
	case holdNetwork:
		end(holdNetworkMain(os.Args[1:]), 1)
	case initContainer:
		end(initContainerMain(), 125)
	}
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server")
	name := flag.String("name", "node0", "the node's name")
	address := flag.String("address", "10.99.0.1", "the node's address")
	pods := flag.String("pods", "10.244.0.0/16", "addresses of pods, all local")
	balancers := flag.String("load-balancers", "10.98.128.0/17", "addresses of LoadBalancers, all local")
	dns := flag.String("dns", "10.96.0.10", "address of the cluster's DNS server, local; empty: none")
	api := flag.String("api", "10.96.0.1", "address of the Service kubernetes, which pods are told")
	images := flag.String("images", "", "a folder of root file systems of images, each called as its image is: pods of these are run; of all others they are echo servers")
	state := flag.String("state", "", "an empty folder for volumes of pods that are run; what they print is kept beside it")
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	end(run(*kubeconfig, *name, *address, *pods, *balancers, *dns, *api, *images, *state), 1)
}

func end(err error, code int) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "node: %v\n", err)
		os.Exit(code)
	}
	os.Exit(0)
}

func run(kubeconfig, name, address, pods, balancers, dns, api, images, state string) error {
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

	agent := newPodAgent(client, name, address, podRange)
	agent.dns, agent.api, agent.images, agent.folder, agent.logFolder = dns, api, images, state, filepath.Dir(state)
	if err := serveKubelet(address, agent); err != nil {
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
	return agent.run(ctx)
}
