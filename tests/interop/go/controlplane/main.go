// A control plane made with go-control-plane: it serves the resources of a YAML file over ADS (SotW and Delta) and reads
// the file again on SIGHUP; or, for the benchmarks, CLUSTERSxENDPOINTS generated ones to every node, of which SIGHUP changes one endpoint.
// It prints "listening HOST:PORT" once it accepts.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

type file struct {
	Clusters  []any `json:"clusters"`
	Endpoints []any `json:"endpoints"`
	Listeners []any `json:"listeners"`
	Routes    []any `json:"routes"`
	// Filters that configuration discovery brings.
	Extensions []any `json:"extensions"`
	Secrets    []any `json:"secrets"`
	Runtimes   []any `json:"runtimes"`
}

// parse turns each item into a message made by fresh.
func parse(items []any, fresh func() proto.Message) ([]types.Resource, error) {
	var out []types.Resource
	for i, item := range items {
		text, err := yaml.Marshal(item)
		if err != nil {
			return nil, err
		}
		js, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, err
		}
		m := fresh()
		if err := protojson.Unmarshal(js, m); err != nil {
			return nil, fmt.Errorf("item %d of %T: %w", i, m, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func load(path string, version int) (*cache.Snapshot, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return nil, err
	}
	resources := map[resource.Type][]types.Resource{}
	for _, kind := range []struct {
		url   resource.Type
		items []any
		fresh func() proto.Message
	}{
		{resource.ClusterType, f.Clusters, func() proto.Message { return &clusterv3.Cluster{} }},
		{resource.EndpointType, f.Endpoints, func() proto.Message { return &endpointv3.ClusterLoadAssignment{} }},
		{resource.ListenerType, f.Listeners, func() proto.Message { return &listenerv3.Listener{} }},
		{resource.RouteType, f.Routes, func() proto.Message { return &routev3.RouteConfiguration{} }},
		{resource.ExtensionConfigType, f.Extensions, func() proto.Message { return &corev3.TypedExtensionConfig{} }},
		{resource.SecretType, f.Secrets, func() proto.Message { return &tlsv3.Secret{} }},
		{resource.RuntimeType, f.Runtimes, func() proto.Message { return &runtimev3.Runtime{} }},
	} {
		if resources[kind.url], err = parse(kind.items, kind.fresh); err != nil {
			return nil, err
		}
	}
	return cache.NewSnapshot(strconv.Itoa(version), resources)
}

// generate makes clusters×endpoints; the first endpoint of the first cluster moves with the version.
func generate(clusters, endpoints, version int) (*cache.Snapshot, error) {
	ads := &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	resources := map[resource.Type][]types.Resource{}
	for c := range clusters {
		name := fmt.Sprintf("default/svc-%d/80", c)
		resources[resource.ClusterType] = append(resources[resource.ClusterType], &clusterv3.Cluster{
			Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
			EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads}})
		hosts := &endpointv3.LocalityLbEndpoints{}
		for e := range endpoints {
			port := uint32(20000 + e)
			if c == 0 && e == 0 {
				port = uint32(1000 + version)
			}
			hosts.LbEndpoints = append(hosts.LbEndpoints, &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
					Address: fmt.Sprintf("10.%d.%d.%d", c/256, c%256, e+1), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}}})
		}
		resources[resource.EndpointType] = append(resources[resource.EndpointType], &endpointv3.ClusterLoadAssignment{
			ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{hosts}})
	}
	return cache.NewSnapshot(strconv.Itoa(version), resources)
}

// oneForAll gives every node the same snapshot.
type oneForAll struct{}

func (oneForAll) ID(*corev3.Node) string { return "" }

func main() {
	generated := flag.String("generate", "", "CLUSTERSxENDPOINTS instead of a file")
	config := flag.String("config", "", "YAML file with clusters, endpoints, listeners, routes, extensions, secrets and runtimes")
	scaled := flag.Int("scale", 0, "so many clusters and routes instead of a file, see scale.go")
	listen := flag.Int("listen", 0, "port of the listener of -scale")
	upstream := flag.Int("upstream", 0, "port of the endpoints of -scale")
	node := flag.String("node", "", "node id to serve")
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	flag.Parse()

	var hash cache.NodeHash = cache.IDHash{}
	var clusters, endpoints int
	if *generated != "" {
		if _, err := fmt.Sscanf(*generated, "%dx%d", &clusters, &endpoints); err != nil {
			log.Fatalf("-generate %q: %v", *generated, err)
		}
		hash = oneForAll{}
	}
	var large *scale
	if *scaled > 0 {
		large = newScale(*scaled, *listen, *upstream)
		hash = oneForAll{}
	}
	snapshots := cache.NewSnapshotCache(true, hash, nil)
	version := 0
	apply := func() error {
		version++
		var snapshot *cache.Snapshot
		var err error
		if large != nil {
			snapshot, err = large.snapshot(version)
		} else if *generated != "" {
			snapshot, err = generate(clusters, endpoints, version)
		} else {
			snapshot, err = load(*config, version)
		}
		if err != nil {
			return err
		}
		fmt.Printf("changed %d\n", time.Now().UnixNano())
		return snapshots.SetSnapshot(context.Background(), *node, snapshot)
	}
	if err := apply(); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	callbacks := server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			if r.ErrorDetail != nil {
				fmt.Printf("nack %s %s\n", r.TypeUrl, r.ErrorDetail.Message)
			}
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			if r.ErrorDetail != nil {
				fmt.Printf("nack %s %s\n", r.TypeUrl, r.ErrorDetail.Message)
			}
			return nil
		},
	}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(context.Background(), snapshots, callbacks))
	go func() { log.Fatal(g.Serve(listener)) }()
	fmt.Printf("listening %s\n", listener.Addr())

	words := make(chan string)
	if large != nil {
		orders(words)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGHUP {
				g.Stop()
				return
			}
		case word := <-words:
			large.change(word)
		}
		if err := apply(); err != nil {
			fmt.Printf("error %v\n", err)
		} else {
			fmt.Printf("version %d\n", version)
		}
	}
}
