// An ordered map whose copies share structure: copy is one reference count, set and erase copy O(log n) nodes.
// A treap with priorities from a hash of the key, so equal content has equal shape and two versions are compared by
// skipping the subtrees they share. Immutable nodes; safe to read from any thread.
#pragma once

#include <absl/hash/hash.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace fairlead {

// The default priority: absl's hash of the key, equal within one process.
template <typename K>
struct PersistentMapHash {
  uint64_t operator()(const K& key) const { return absl::Hash<K>{}(key); }
};

template <typename K, typename V, typename Hash = PersistentMapHash<K>>
class PersistentMap {
 public:
  PersistentMap() = default;

  size_t size() const { return root_ ? root_->size : 0; }
  bool empty() const { return !root_; }
  bool same_as(const PersistentMap& other) const { return root_ == other.root_; }

  // nullptr when absent; valid as long as any map that shares the node lives.
  template <typename Q>
  const V* find(const Q& key) const {
    const Node* n = root_.get();
    while (n) {
      if (key < n->key) {
        n = n->left.get();
      } else if (n->key < key) {
        n = n->right.get();
      } else {
        return &n->value;
      }
    }
    return nullptr;
  }

  // Returns the changed map; this one stays as it is. The key given is the one kept, so a key may be a view into its value.
  [[nodiscard]] PersistentMap set(K key, V value) const {
    const uint64_t priority = Hash{}(key);
    return PersistentMap(insert(root_, std::move(key), std::move(value), priority));
  }
  template <typename Q>
  [[nodiscard]] PersistentMap erase(const Q& key) const {
    return find(key) ? PersistentMap(remove(root_, key)) : *this;
  }

  // In key order.
  template <typename F>
  void for_each(F&& f) const {
    walk(root_.get(), f);
  }

  // Calls f(key, const V* before, const V* after) for each key whose node differs, in key order; equal values in
  // different nodes are reported too, so the caller compares. Shared subtrees cost nothing.
  template <typename F>
  static void diff(const PersistentMap& before, const PersistentMap& after, F&& f) {
    diff_nodes(before.root_, after.root_, f);
  }

 private:
  struct Node;
  using Ptr = std::shared_ptr<const Node>;
  struct Node {
    K key;
    V value;
    uint64_t priority;
    Ptr left, right;
    size_t size;
    Node(K k, V v, uint64_t p, Ptr l, Ptr r)
        : key(std::move(k)), value(std::move(v)), priority(p), left(std::move(l)), right(std::move(r)),
          size(1 + (left ? left->size : 0) + (right ? right->size : 0)) {}
  };

  explicit PersistentMap(Ptr root) : root_(std::move(root)) {}

  static Ptr with(const Node& n, Ptr l, Ptr r) {
    return std::make_shared<const Node>(n.key, n.value, n.priority, std::move(l), std::move(r));
  }
  // Of two keys with one priority the smaller is nearer the root, so the shape depends on the content alone.
  static bool above(const Node& a, uint64_t priority, const K& key) {
    return a.priority != priority ? a.priority > priority : a.key < key;
  }

  // Splits into what is below and what is above `key`; `key` itself is dropped.
  template <typename Q>
  static std::pair<Ptr, Ptr> split(const Ptr& n, const Q& key) {
    if (!n) return {};
    if (n->key < key) {
      auto [l, r] = split(n->right, key);
      return {with(*n, n->left, std::move(l)), std::move(r)};
    }
    if (key < n->key) {
      auto [l, r] = split(n->left, key);
      return {std::move(l), with(*n, std::move(r), n->right)};
    }
    return {n->left, n->right};
  }

  static Ptr join(const Ptr& l, const Ptr& r) {
    if (!l) return r;
    if (!r) return l;
    if (above(*l, r->priority, r->key)) return with(*l, l->left, join(l->right, r));
    return with(*r, join(l, r->left), r->right);
  }

  static Ptr insert(const Ptr& n, K key, V value, uint64_t priority) {
    if (!n) return std::make_shared<const Node>(std::move(key), std::move(value), priority, nullptr, nullptr);
    if (!(n->key < key) && !(key < n->key)) {
      return std::make_shared<const Node>(std::move(key), std::move(value), n->priority, n->left, n->right);
    }
    if (!above(*n, priority, key)) {
      auto [l, r] = split(n, key);
      return std::make_shared<const Node>(std::move(key), std::move(value), priority, std::move(l), std::move(r));
    }
    if (key < n->key) return with(*n, insert(n->left, std::move(key), std::move(value), priority), n->right);
    return with(*n, n->left, insert(n->right, std::move(key), std::move(value), priority));
  }

  template <typename Q>
  static Ptr remove(const Ptr& n, const Q& key) {
    if (key < n->key) return with(*n, remove(n->left, key), n->right);
    if (n->key < key) return with(*n, n->left, remove(n->right, key));
    return join(n->left, n->right);
  }

  template <typename F>
  static void walk(const Node* n, F& f) {
    if (!n) return;
    walk(n->left.get(), f);
    f(n->key, n->value);
    walk(n->right.get(), f);
  }

  template <typename F>
  static void diff_nodes(const Ptr& a, const Ptr& b, F& f) {
    if (a == b) return;
    if (!b) {
      auto gone = [&](const K& k, const V& v) { f(k, &v, static_cast<const V*>(nullptr)); };
      walk(a.get(), gone);
      return;
    }
    if (!a) {
      auto made = [&](const K& k, const V& v) { f(k, static_cast<const V*>(nullptr), &v); };
      walk(b.get(), made);
      return;
    }
    if (!(a->key < b->key) && !(b->key < a->key)) {
      diff_nodes(a->left, b->left, f);
      if (&a->value != &b->value) f(a->key, &a->value, &b->value);
      diff_nodes(a->right, b->right, f);
      return;
    }
    // The root that stands higher in its own tree cannot be in the other one; split the other around it.
    if (above(*a, b->priority, b->key)) {
      auto [l, r] = split(b, a->key);
      diff_nodes(a->left, l, f);
      f(a->key, &a->value, static_cast<const V*>(nullptr));
      diff_nodes(a->right, r, f);
    } else {
      auto [l, r] = split(a, b->key);
      diff_nodes(l, b->left, f);
      f(b->key, static_cast<const V*>(nullptr), &b->value);
      diff_nodes(r, b->right, f);
    }
  }

  Ptr root_;
};

}  // namespace fairlead
