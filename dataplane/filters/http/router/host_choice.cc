// Fills a PickContext from a retry policy; see host_choice.h.
#include "dataplane/filters/http/router/host_choice.h"

#include <algorithm>

#include "dataplane/upstream/omit_host_metadata.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::router {

using upstream::PriorityLoad;

upstream::Host* HostChoice::pick(upstream::Cluster& cluster, const fairlead::router::RetryPolicy* policy, upstream::PickContext context, bool retry) {
  if (policy == nullptr) return cluster.pick(context);
  upstream::Host* host = retry ? pick_again(cluster, *policy, context) : cluster.pick(context);
  if (host == nullptr) return nullptr;
  if (!policy->previous_hosts_predicate && policy->previous_priorities_frequency == 0) return host;
  if (!past_) past_.emplace();
  if (policy->previous_hosts_predicate) past_->tried.push_back(host);
  if (policy->previous_priorities_frequency != 0) past_->priorities.push_back(host->priority);
  return host;
}

upstream::Host* HostChoice::pick_again(upstream::Cluster& cluster, const fairlead::router::RetryPolicy& policy, upstream::PickContext& context) {
  if (!past_) past_.emplace();
  const upstream::PreviousHosts previous(past_->tried);
  const upstream::OmitCanaryHosts canary;
  absl::InlinedVector<upstream::OmitHostMetadata, 1> labelled;
  for (const auto& match : policy.omit_host_metadata) labelled.emplace_back(match);
  absl::InlinedVector<const upstream::HostPredicate*, 4> predicates;
  if (policy.previous_hosts_predicate) predicates.push_back(&previous);
  if (policy.omit_canary_hosts) predicates.push_back(&canary);
  for (const auto& predicate : labelled) predicates.push_back(&predicate);
  context.predicates = predicates;
  context.selection_retries = policy.host_selection_max_attempts;
  if (policy.previous_priorities_frequency != 0) {
    leave_priorities(*past_, cluster.selector().load(), policy.previous_priorities_frequency);
    if (past_->load) context.priorities = &*past_->load;
  }
  return cluster.pick(context);
}

// Envoy 1.40: every `frequency` attempts the priorities seen so far are left out; when none remains, all count again.
void HostChoice::leave_priorities(Past& past, const PriorityLoad& load, uint32_t frequency) {
  if (past.load && past.load->shares().size() != load.shares().size()) past.load.reset();  // the cluster has changed meanwhile
  if (past.priorities.size() < frequency) return past.load.reset();
  if (past.priorities.size() % frequency != 0) return;
  std::vector<bool>& excluded = past.excluded;
  excluded.resize(load.shares().size());
  for (const uint32_t priority : past.priorities) {
    if (priority < excluded.size()) excluded[priority] = true;
  }
  past.load = load.without(excluded);
  if (std::find(excluded.begin(), excluded.end(), true) == excluded.end()) past.priorities.clear();
}

}  // namespace fairlead::filters::router
