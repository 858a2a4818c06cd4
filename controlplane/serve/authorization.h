// Which client may say it is which node: what a node gets depends on what it says (snapshot/node.h), so what it says must be its to say. Rules
// map a name of the client's verified certificate or token to the ids, clusters, Gateways and namespaces of the mesh a node may give:
//   spiffe://example.org/ns/{ns}/sa/{name} = id:*, cluster:{name}, gateway:{ns}/{name}
//   spiffe://example.org/ns/{ns}/sa/* = id:*, mesh:{ns}
// In either half `*` is any text without '/', `**` any text, and `{x}` between slashes, or at an end, one segment: what it stood for in the
// client's name it stands for in the node. A node fits a rule when each of id, cluster, gateway and mesh that it gives is one of the rule's, and it gives
// each that the rule has: what a rule does not speak of it does not allow. An immutable value; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "controlplane/rpc/peer.h"
#include "controlplane/snapshot/node.h"

namespace fairlead::serve {

// Text with wildcards and captures.
class Pattern {
 public:
  using Captures = std::map<std::string, std::string, std::less<>>;
  // InvalidArgument: a capture that is not a whole segment, or has no name, or a brace without its other one.
  static absl::StatusOr<Pattern> parse(std::string_view text);
  // `captures`: those it has, and that are not in there yet, are added; the others must be what is in there.
  bool matches(std::string_view text, Captures& captures) const;
  const std::vector<std::string>& captured() const { return captured_; }  // names

 private:
  enum class Kind : uint8_t { kText, kSegment, kAny, kCapture };
  struct Token {
    Kind kind;
    std::string text;  // or the capture's name
  };
  bool matches(size_t token, std::string_view rest, Captures& captures) const;
  std::vector<Token> tokens_;
  std::vector<std::string> captured_;
};

class Authorization {
 public:
  // A rule, and where it stands for errors: "--xds-authorize", "rules.txt:3".
  struct Line {
    std::string text;
    std::string place;
  };
  static absl::StatusOr<Authorization> parse(const std::vector<Line>& lines);
  // One rule a line; '#' begins a comment.
  static std::vector<Line> lines_of(std::string_view file, const std::string& path);

  bool empty() const { return rules_.empty(); }  // everybody may
  size_t size() const { return rules_.size(); }
  // PermissionDenied names the client and the node, and which rules there are for the client.
  absl::Status check(const rpc::Peer& client, const snapshot::Node& node) const;

 private:
  struct Rule {
    Line line;
    Pattern client;
    std::vector<Pattern> ids, clusters, gateways, meshes;
  };
  static absl::StatusOr<Rule> parse(const Line& line);
  std::vector<Rule> rules_;
};

}  // namespace fairlead::serve
