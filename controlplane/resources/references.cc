// Which names a message refers to, found by walking it with reflection, into every Any whose type the API knows.
#include <algorithm>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "controlplane/plan/plan.h"
#include "controlplane/resources/resource.h"
#include "controlplane/resources/xdstp.h"

namespace fairlead::resources {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string text(const Message& m, const char* field) {
  const FieldDescriptor* f = m.GetDescriptor()->FindFieldByName(field);
  if (!f || f->is_repeated() || f->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return "";
  return m.GetReflection()->GetString(m, f);
}

const Message* part(const Message& m, const char* field) {
  const FieldDescriptor* f = m.GetDescriptor()->FindFieldByName(field);
  if (!f || f->is_repeated() || f->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || !m.GetReflection()->HasField(m, f)) return nullptr;
  return &m.GetReflection()->GetMessage(m, f);
}

// Read from a file by the client itself: not ours to have.
bool from_file(const Message* config_source) {
  return config_source && (part(*config_source, "path_config_source") || !text(*config_source, "path").empty());
}

// A message of this type refers to the name in that field.
struct Rule {
  std::string_view message;
  const char* field;
  Type type;
};
constexpr Rule kRules[] = {
    {"envoy.extensions.filters.network.http_connection_manager.v3.Rds", "route_config_name", Type::kRoute},
    {"envoy.config.route.v3.RouteAction", "cluster", Type::kCluster},
    {"envoy.config.route.v3.RouteAction.RequestMirrorPolicy", "cluster", Type::kCluster},
    {"envoy.config.route.v3.WeightedCluster.ClusterWeight", "name", Type::kCluster},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster", Type::kCluster},
    {"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight", "name", Type::kCluster},
    {"envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", "cluster", Type::kCluster},
    {"envoy.extensions.filters.udp.udp_proxy.v3.Route", "cluster", Type::kCluster},
};

class Walker {
 public:
  void walk(const Message& m) {
    if (++depth_ > 100) {  // protobuf's own limit for nested messages; an Any resets it, so it is kept here
      --depth_;
      return;
    }
    const std::string& name = m.GetDescriptor()->full_name();
    if (name == "google.protobuf.Any") {
      google::protobuf::Any any;
      any.CopyFrom(m);
      if (auto inner = unpack(any); inner.ok()) walk(**inner);
    } else {
      named(name, m);
      fields(m);
    }
    --depth_;
  }

  std::vector<Reference> take() {
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  void named(const std::string& name, const Message& m) {
    for (const Rule& rule : kRules) {
      if (rule.message == name && !from_file(part(m, "config_source"))) add(rule.type, text(m, rule.field));
    }
    if (name == "envoy.config.cluster.v3.Cluster") {
      if (const Message* eds = part(m, "eds_cluster_config"); eds && !from_file(part(*eds, "eds_config"))) {
        const std::string service = text(*eds, "service_name");
        add(Type::kEndpoint, service.empty() ? text(m, "name") : service);
      }
    } else if (name == "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter") {
      if (const Message* discovery = part(m, "config_discovery"); discovery && !from_file(part(*discovery, "config_source"))) add(Type::kExtensionConfig, text(m, "name"));
    } else if (name == "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig") {
      if (const Message* source = part(m, "sds_config"); source && !from_file(source)) add(Type::kSecret, text(m, "name"));
    }
  }
  void fields(const Message& m) {
    std::vector<const FieldDescriptor*> set;
    const auto* reflection = m.GetReflection();
    reflection->ListFields(m, &set);
    for (const FieldDescriptor* f : set) {
      if (f->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
      if (!f->is_repeated()) {
        walk(reflection->GetMessage(m, f));
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(m, f); ++i) walk(reflection->GetRepeatedMessage(m, f, i));
    }
  }
  void add(Type type, std::string name) {
    if (is_xdstp(name)) name = canonical_xdstp(name).value_or(name);
    if (!name.empty() && name != plan::kInvalidBackend) found_.push_back({type, std::move(name)});
  }

  std::vector<Reference> found_;
  int depth_ = 0;
};

}  // namespace

std::vector<Reference> references_of(const Message& message) {
  Walker walker;
  walker.walk(message);
  return walker.take();
}

std::string name_of(const Message& message) {
  std::string name = text(message, "name");
  return name.empty() ? text(message, "cluster_name") : name;
}

}  // namespace fairlead::resources
