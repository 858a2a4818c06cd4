// Reading the bootstrap.
#include "dataplane/server/bootstrap_loader.h"

#include <google/protobuf/any.pb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/file.h"
#include "base/status.h"
#include "base/validate.h"
#include "dataplane/config/health.h"
#include "dataplane/config/support.h"
#include "dataplane/xds/grpc_target.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace fairlead::server {
namespace {

using envoy::config::bootstrap::v3::Bootstrap;

struct Source {
  Bootstrap message;
  doc::FieldMarks marks;
};

absl::StatusOr<Source> read(const std::string& text, const std::string& name, const Options& options, LoadedBootstrap& out) {
  FL_ASSIGN_OR_RETURN(doc::Value value, doc::parse_one(text, name));
  // A text without any document reads as an empty map elsewhere; Envoy refuses it here.
  if (value.size() == 0 && doc::parse_any(text, name)->empty()) return absl::InvalidArgumentError(absl::StrCat(name, ": holds no bootstrap: it is empty"));
  Source source;
  std::vector<absl::Status> unknown;
  doc::ToMessageOptions how;
  how.marks = &source.marks;
  if (options.allow_unknown_static_fields) how.unknown = &unknown;
  FL_RETURN_IF_ERROR(doc::to_message(value, &source.message, how));
  for (const absl::Status& s : unknown) out.warnings.emplace_back(s.message());
  out.unknown_fields += unknown.size();
  return source;
}

// "a.b[0].c: what" → "file:line: a.b[0].c: what", for every line of a multi-line error.
absl::Status with_marks(const absl::Status& status, const std::vector<const doc::FieldMarks*>& marks) {
  if (status.ok()) return status;
  std::string out;
  for (const std::string_view line : absl::StrSplit(status.message(), '\n')) {
    if (line.empty()) continue;
    const std::string_view path = line.substr(0, line.find(": "));
    std::string place;
    for (const doc::FieldMarks* m : marks)
      if (place.empty() && !m->empty()) place = m->find(path).to_string();
    absl::StrAppend(&out, out.empty() ? "" : "\n", place, place.empty() ? "" : ": ", line);
  }
  return absl::Status(status.code(), out);
}

void complete_node(Bootstrap& bootstrap, const Options& options, const std::string& version) {
  auto* node = bootstrap.mutable_node();
  if (!options.service_node.empty()) node->set_id(options.service_node);
  if (!options.service_cluster.empty()) node->set_cluster(options.service_cluster);
  if (!options.service_zone.empty()) node->mutable_locality()->set_zone(options.service_zone);
  node->set_user_agent_name("fairlead-proxy");
  const std::vector<std::string> parts = absl::StrSplit(version, '.');
  auto* number = node->mutable_user_agent_build_version()->mutable_version();
  uint32_t n = 0;
  if (!parts.empty() && absl::SimpleAtoi(parts[0], &n)) number->set_major_number(n);
  if (parts.size() > 1 && absl::SimpleAtoi(parts[1], &n)) number->set_minor_number(n);
  if (parts.size() > 2 && absl::SimpleAtoi(parts[2], &n)) number->set_patch(n);
}

// The clusters that some ApiConfigSource in the bootstrap sends its streams to.
void find_stream_clusters(const google::protobuf::Message& message, std::set<std::string>& names) {
  if (message.GetDescriptor()->full_name() == "envoy.config.core.v3.GrpcService.EnvoyGrpc") {
    const auto* field = message.GetDescriptor()->FindFieldByName("cluster_name");
    names.insert(message.GetReflection()->GetString(message, field));
    return;
  }
  if (message.GetDescriptor()->full_name() == "google.protobuf.Any") {
    auto inner = unpack(static_cast<const google::protobuf::Any&>(message));
    if (inner.ok()) find_stream_clusters(**inner, names);
    return;
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const auto* f : fields) {
    if (f->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (f->is_repeated()) {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, f); ++i) find_stream_clusters(message.GetReflection()->GetRepeatedMessage(message, f, i), names);
    } else {
      find_stream_clusters(message.GetReflection()->GetMessage(message, f), names);
    }
  }
}

// What the data plane's own checks see of a stream cluster: its name and addresses, in the same place of the list, so that paths and lines stay true.
void strip_stream_clusters(Bootstrap& bootstrap, const std::set<std::string>& names) {
  for (auto& cluster : *bootstrap.mutable_static_resources()->mutable_clusters()) {
    if (!names.contains(cluster.name())) continue;
    envoy::config::cluster::v3::Cluster plain;
    plain.set_name(cluster.name());
    plain.set_type(cluster.type());
    *plain.mutable_load_assignment() = cluster.load_assignment();
    cluster = std::move(plain);
  }
}

// Takes the stream clusters out of the model; a route to one of them would speak HTTP/1 without TLS to a gRPC server.
absl::StatusOr<std::shared_ptr<const config::BootstrapConfig>> without(std::shared_ptr<const config::BootstrapConfig> model, const std::set<std::string>& names) {
  for (const auto& listener : model->listeners) {
    absl::Status wrong;
    listener->for_each_hcm([&](const config::HcmConfig& hcm) {
      if (hcm.routes.inline_table == nullptr) return;
      for (const std::string& cluster : hcm.routes.inline_table->cluster_names())
        if (names.contains(cluster))
          wrong.Update(absl::InvalidArgumentError(absl::StrCat("listener '", listener->name, "': a route names cluster '", cluster, "', which xDS streams go to: such a cluster takes no requests")));
    });
    FL_RETURN_IF_ERROR(wrong);
  }
  auto out = std::make_shared<config::BootstrapConfig>(*model);
  std::erase_if(out->clusters, [&](const auto& c) { return names.contains(c->name); });
  return out;
}

// A log that cannot be written is told before traffic comes. Opens and creates nothing.
absl::Status check_log_file(const std::string& path, std::string_view owner) {
  struct stat found{};
  const bool is_folder = stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  if (!is_folder && access(path.c_str(), W_OK) == 0) return absl::OkStatus();
  int reason = is_folder ? EISDIR : errno;
  if (reason == ENOENT) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (access(folder.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
    reason = errno;
  }
  return absl::InvalidArgumentError(absl::StrCat(owner, ": unable to open file '", path, "': ", std::strerror(reason)));
}

absl::Status check_log_files(const std::vector<config::AccessLogConfig>& logs, std::string_view owner) {
  for (const config::AccessLogConfig& log : logs) {
    if (log.sink == config::AccessLogConfig::Sink::File) FL_RETURN_IF_ERROR(check_log_file(log.path, absl::StrCat(owner, ": access log")));
  }
  return absl::OkStatus();
}

absl::Status check_log_files(const config::BootstrapConfig& model) {
  FL_RETURN_IF_ERROR(check_log_files(model.admin.access_logs, "admin"));
  if (!model.outlier_event_log.empty()) FL_RETURN_IF_ERROR(check_log_file(model.outlier_event_log, "cluster_manager.outlier_detection"));
  for (const auto& cluster : model.clusters) {
    if (!cluster->health_check) continue;
    for (const std::string& path : cluster->health_check->event_logs) FL_RETURN_IF_ERROR(check_log_file(path, absl::StrCat("cluster '", cluster->name, "': health_checks[0]")));
  }
  for (const auto& listener : model.listeners) {
    const std::string owner = absl::StrCat("listener '", listener->name, "'");
    absl::Status wrong;
    listener->for_each_hcm([&](const config::HcmConfig& hcm) { wrong.Update(check_log_files(hcm.access_logs, owner)); });
    FL_RETURN_IF_ERROR(wrong);
  }
  return absl::OkStatus();
}

// A file that resources come from must be there at the start, as in Envoy; later it may go and come.
absl::Status check_path(const config::ConfigSource& source, const std::string& field) {
  if (source.kind != config::ConfigSource::Kind::Path) return absl::OkStatus();
  for (const std::string& path : {source.path, source.watched_directory}) {
    if (path.empty() || access(path.c_str(), F_OK) == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(field, ": paths must refer to an existing path in the system: '", path, "' does not exist"));
  }
  return absl::OkStatus();
}

std::vector<config::SecretRef> secrets_of(const config::ClusterConfig& cluster) {
  std::vector<config::SecretRef> out;
  cluster.each_tls([&](const config::UpstreamTls& tls) { out.insert(out.end(), tls.secrets.begin(), tls.secrets.end()); });
  return out;
}

absl::Status check_secrets(const std::vector<config::SecretRef>& secrets, const std::string& owner) {
  for (const config::SecretRef& secret : secrets) FL_RETURN_IF_ERROR(check_path(secret.source, absl::StrCat(owner, ": secret '", secret.name, "': sds_config")));
  return absl::OkStatus();
}

absl::Status check_paths(const config::BootstrapConfig& model) {
  if (model.lds) FL_RETURN_IF_ERROR(check_path(*model.lds, "dynamic_resources.lds_config"));
  if (model.cds) FL_RETURN_IF_ERROR(check_path(*model.cds, "dynamic_resources.cds_config"));
  for (const auto& cluster : model.clusters)
    if (cluster->eds_source) FL_RETURN_IF_ERROR(check_path(*cluster->eds_source, absl::StrCat("cluster '", cluster->name, "': eds_cluster_config.eds_config")));
  for (const auto& cluster : model.clusters)
    FL_RETURN_IF_ERROR(check_secrets(secrets_of(*cluster), absl::StrCat("cluster '", cluster->name, "'")));
  for (const auto& listener : model.listeners) {
    absl::Status wrong;
    for (size_t i = 0; i < listener->chain_count(); ++i)
      if (const auto& tls = listener->chain(i)->tls) FL_RETURN_IF_ERROR(check_secrets(tls->secrets, absl::StrCat("listener '", listener->name, "'")));
    listener->for_each_hcm([&](const config::HcmConfig& hcm) {
      if (hcm.routes.rds_source) wrong.Update(check_path(*hcm.routes.rds_source, absl::StrCat("listener '", listener->name, "': rds.config_source")));
      for (const auto& filter : hcm.http_filters)
        if (filter.discovery != nullptr)
          wrong.Update(check_path(filter.discovery->source, absl::StrCat("listener '", listener->name, "': http filter '", filter.name, "': config_discovery.config_source")));
    });
    FL_RETURN_IF_ERROR(wrong);
  }
  return absl::OkStatus();
}

// Every subscription tells who asks, so a node without id or cluster is refused; so it is by Envoy.
absl::Status check_node(const Bootstrap& bootstrap, const config::BootstrapConfig& model) {
  bool dynamic = bootstrap.dynamic_resources().has_ads_config() || bootstrap.dynamic_resources().has_cds_config() || bootstrap.dynamic_resources().has_lds_config();
  for (const auto& cluster : model.clusters) dynamic |= cluster->eds_source.has_value() || !secrets_of(*cluster).empty();
  for (const auto& listener : model.listeners) {
    for (size_t i = 0; i < listener->chain_count(); ++i) dynamic |= listener->chain(i)->tls && !listener->chain(i)->tls->secrets.empty();
    listener->for_each_hcm([&](const config::HcmConfig& hcm) {
      dynamic |= hcm.routes.rds_source.has_value();
      for (const auto& filter : hcm.http_filters) dynamic |= filter.discovery != nullptr;
    });
  }
  if (dynamic && (bootstrap.node().id().empty() || bootstrap.node().cluster().empty()))
    return absl::InvalidArgumentError("node: dynamic resources need node.id and node.cluster (or --service-node and --service-cluster)");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadedBootstrap> load_bootstrap(const Options& options, const std::string& version) {
  if (options.config_path.empty() && options.config_yaml.empty())
    return absl::InvalidArgumentError("no configuration: give -c FILE or --config-yaml TEXT");
  LoadedBootstrap out;
  Source file, inline_text;
  Bootstrap merged;
  if (!options.config_path.empty()) {
    FL_ASSIGN_OR_RETURN(std::string text, read_file(options.config_path));
    FL_ASSIGN_OR_RETURN(file, read(text, options.config_path, options, out));
    merged = file.message;
  }
  if (!options.config_yaml.empty()) {
    FL_ASSIGN_OR_RETURN(inline_text, read(options.config_yaml, "--config-yaml", options, out));
    merged.MergeFrom(inline_text.message);
  }
  complete_node(merged, options, version);

  const std::vector<const doc::FieldMarks*> marks = {&file.marks, &inline_text.marks};
  ValidateOptions rules;
  FL_RETURN_IF_ERROR(with_marks(validate(merged, rules), marks));
  config::SupportFindings findings;
  FL_RETURN_IF_ERROR(with_marks(config::check_support(merged, &findings), marks));
  std::set<std::string> streams;
  find_stream_clusters(merged, streams);
  for (const auto& cluster : merged.static_resources().clusters())
    if (streams.contains(cluster.name())) out.grpc_clusters.emplace(cluster.name(), std::make_shared<const envoy::config::cluster::v3::Cluster>(cluster));
  for (int i = 0; i < merged.static_resources().clusters_size(); ++i) {
    if (!streams.contains(merged.static_resources().clusters(i).name())) continue;
    const auto target = xds::parse_grpc_cluster(merged.static_resources().clusters(i), absl::StrCat("static_resources.clusters[", i, "]"));
    FL_RETURN_IF_ERROR(with_marks(target.status(), marks));
    findings.ignored.insert(findings.ignored.end(), target->ignored.begin(), target->ignored.end());
  }
  Bootstrap data_plane = merged;
  strip_stream_clusters(data_plane, streams);
  for (const config::IgnoredField& field : findings.ignored) {
    std::string place;
    for (const doc::FieldMarks* m : marks)
      if (place.empty() && !m->empty()) place = m->find(field.path).to_string();
    out.warnings.push_back(absl::StrCat(place, place.empty() ? "" : ": ", field.path, ": ignored: ", field.reason));
  }
  out.ignored_fields = findings.ignored.size();
  absl::StatusOr<std::shared_ptr<const config::BootstrapConfig>> model = config::parse_bootstrap(data_plane, {.registry = nullptr, .read_file = [](const std::string& path) { return read_file(path); }});
  if (model.ok()) model = without(*std::move(model), streams);
  if (!model.ok()) return with_marks(model.status(), marks);
  FL_RETURN_IF_ERROR(check_node(merged, **model));
  FL_RETURN_IF_ERROR(check_paths(**model));
  FL_RETURN_IF_ERROR(check_log_files(**model));
  out.config = *std::move(model);
  for (const std::string& w : out.config->warnings) out.warnings.push_back(w);
  out.proto = std::make_shared<const Bootstrap>(std::move(merged));
  return out;
}

}  // namespace fairlead::server
