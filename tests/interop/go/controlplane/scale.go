package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// scale is n static clusters with one endpoint each, a route for each in one route configuration, and a listener; told "cluster" or
// "routes" over TCP, one of them changes.
type scale struct {
	listener *listenerv3.Listener
	clusters []*clusterv3.Cluster
	routes   *routev3.RouteConfiguration
	changes  int
}

func socket(port int) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)}}}}
}

func packed(m proto.Message) *anypb.Any {
	out, err := anypb.New(m)
	if err != nil {
		log.Fatal(err)
	}
	return out
}

func newScale(n, port, upstream int) *scale {
	s := &scale{routes: &routev3.RouteConfiguration{Name: "main"}}
	host := &routev3.VirtualHost{Name: "all", Domains: []string{"*"}}
	for i := range n {
		name := fmt.Sprintf("outbound-service-%05d", i)
		s.clusters = append(s.clusters, &clusterv3.Cluster{
			Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(time.Second),
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(upstream)}}}}}}}})
		host.Routes = append(host.Routes, &routev3.Route{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: fmt.Sprintf("/service-%05d", i)}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}}}})
	}
	s.routes.VirtualHosts = []*routev3.VirtualHost{host}
	ads := &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix:     "main",
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads, RouteConfigName: "main"}},
		HttpFilters:    []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}}}}
	s.listener = &listenerv3.Listener{Name: "main", Address: socket(port), FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
		Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(manager)}}}}}}
	return s
}

func (s *scale) change(what string) {
	s.changes++
	switch what {
	case "cluster":
		fresh := proto.Clone(s.clusters[0]).(*clusterv3.Cluster)
		fresh.ConnectTimeout = durationpb.New(time.Second + time.Duration(s.changes)*time.Millisecond)
		s.clusters[0] = fresh
	case "routes":
		fresh := proto.Clone(s.routes).(*routev3.RouteConfiguration)
		routes := fresh.VirtualHosts[0].Routes
		routes[len(routes)-1].GetRoute().Timeout = durationpb.New(15*time.Second + time.Duration(s.changes)*time.Millisecond)
		s.routes = fresh
	}
}

func (s *scale) snapshot(version int) (*cache.Snapshot, error) {
	clusters := make([]types.Resource, len(s.clusters))
	for i, c := range s.clusters {
		clusters[i] = c
	}
	return cache.NewSnapshot(strconv.Itoa(version), map[resource.Type][]types.Resource{
		resource.ClusterType: clusters, resource.ListenerType: {s.listener}, resource.RouteType: {s.routes}})
}

// orders reads one word a connection and hands it on.
func orders(words chan<- string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("orders %d\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if line := bufio.NewScanner(c); line.Scan() {
				words <- line.Text()
			}
			c.Close()
		}
	}()
}
