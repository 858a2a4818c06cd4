// See certs.h.
#include "dataplane/server/certs.h"

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/doc.h"
#include "dataplane/tls/context.h"

namespace fairlead::server {
namespace {

using Clock = std::chrono::system_clock;
using tls::ListedCertificate;
using Listed = std::vector<ListedCertificate>;

using doc::text;

int64_t days_left(const tls::CertificateFacts& facts, Clock::time_point now) { return std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::hours>(facts.not_after - now).count() / 24); }

doc::Value time_text(Clock::time_point time) { return text(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone())); }

doc::Value one(const ListedCertificate& certificate, Clock::time_point now) {
  std::vector<doc::Value> names;
  // Envoy 1.40 lists these three, kind by kind
  constexpr std::pair<tls::San::Type, const char*> kinds[] = {{tls::San::Type::kDns, "dns"}, {tls::San::Type::kUri, "uri"}, {tls::San::Type::kIp, "ip_address"}};
  for (const auto& [type, key] : kinds)
    for (const tls::San& san : certificate.facts.names)
      if (san.type == type) names.push_back(doc::map({{key, text(san.value), {}}}));
  return doc::map({{"path", text(certificate.place), {}},
                   {"serial_number", text(certificate.facts.serial), {}},
                   {"subject_alt_names", doc::list(std::move(names)), {}},
                   {"days_until_expiration", text(absl::StrCat(days_left(certificate.facts, now))), {}},
                   {"valid_from", time_text(certificate.facts.not_before), {}},
                   {"expiration_time", time_text(certificate.facts.not_after), {}}});
}

doc::Value several(const Listed& listed, Clock::time_point now) {
  std::vector<doc::Value> out;
  for (const ListedCertificate& certificate : listed) out.push_back(one(certificate, now));
  return doc::list(std::move(out));
}

// Listeners' contexts, then clusters', by name.
template <class Visit>
void each_context(const config::Snapshot* snapshot, const Visit& visit) {
  if (snapshot == nullptr) return;
  std::map<std::string, const config::ListenerConfig*> listeners;
  for (const auto& [name, listener] : snapshot->listeners) listeners[name] = listener.get();
  for (const auto& [name, listener] : listeners) {
    for (size_t i = 0; i < listener->chain_count(); ++i) {
      const auto& tls = listener->chain(i)->tls;
      if (const auto context = tls != nullptr ? tls->context() : nullptr) visit(context->trusted(), context->certificates());
    }
  }
  std::map<std::string, const config::ClusterConfig*> clusters;
  for (const auto& [name, entry] : snapshot->clusters) {
    clusters[name] = entry.config.get();
  }
  for (const auto& [name, cluster] : clusters)
    cluster->each_tls([&](const config::UpstreamTls& tls) {
      if (const auto context = tls.context()) visit(context->trusted(), context->certificates());
    });
}

}  // namespace

std::string certificates_json(const config::Snapshot* snapshot, Clock::time_point now) {
  std::vector<doc::Value> rows;
  each_context(snapshot, [&](const Listed& trusted, const Listed& own) { rows.push_back(doc::map({{"ca_cert", several(trusted, now), {}}, {"cert_chain", several(own, now), {}}})); });
  return doc::to_json(doc::map({{"certificates", doc::list(std::move(rows)), {}}}), true) + "\n";
}

std::optional<uint32_t> days_until_first_expires(const config::Snapshot* snapshot, Clock::time_point now) {
  std::optional<uint32_t> least;
  each_context(snapshot, [&](const Listed& trusted, const Listed& own) {
    for (const Listed* listed : {&trusted, &own}) {
      for (const ListedCertificate& certificate : *listed) least = std::min<uint32_t>(least.value_or(UINT32_MAX), static_cast<uint32_t>(days_left(certificate.facts, now)));
    }
  });
  return least;
}

}  // namespace fairlead::server
