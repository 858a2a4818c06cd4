// The order of matches. See precedence.h.
#include "adapters/gatewayapi/precedence.h"

#include <tuple>

namespace fairlead::adapters::gatewayapi {

namespace {

int path_rank(intent::PathMatchType type) {
  switch (type) {
    case intent::PathMatchType::kExact:
      return 0;
    case intent::PathMatchType::kRegex:
      return 1;
    case intent::PathMatchType::kPrefix:
      break;
  }
  return 2;
}

// Characters that decide: a trailing slash of a prefix means nothing.
size_t path_length(const intent::PathMatch& path) {
  const bool slash = path.type == intent::PathMatchType::kPrefix && path.value.size() > 1 && path.value.back() == '/';
  return path.value.size() - (slash ? 1 : 0);
}

}  // namespace

bool tried_before(const RankedRoute& a, const RankedRoute& b) {
  const intent::Match& x = a.route.match;
  const intent::Match& y = b.route.match;
  // More is earlier for lengths and counts, hence a and b change sides there.
  if (a.grpc && b.grpc) {
    auto grpc = [](const RankedRoute& of, const RankedRoute& other) {
      return std::tuple(of.grpc->service.rank, other.grpc->service.length, of.grpc->method.rank, other.grpc->method.length, other.route.match.headers.size(), of.created,
                        std::string_view(of.object), of.rule, of.match);
    };
    return grpc(a, b) < grpc(b, a);
  }
  auto key = [](const RankedRoute& of, const intent::Match& mine, const intent::Match& other) {
    return std::tuple(path_rank(mine.path.type), path_length(other.path), mine.method.empty(), other.headers.size(),
                      other.query.size(), of.created, std::string_view(of.object), of.rule, of.match);
  };
  return key(a, x, y) < key(b, y, x);
}

}  // namespace fairlead::adapters::gatewayapi
