// A ring all-reduce on SimGrid, message by message: one actor a host.
//
//     simgrid_ring HOSTS BYTES LATENCY BANDWIDTH --cfg=network/model:CM02 ...
//
// HOSTS in a ring, joined one way; each sends BYTES / HOSTS to the next in each of
// 2 (HOSTS - 1) rounds, and goes on when that has arrived and its own has too.
// Prints the simulated seconds, the CPU seconds of the run alone, and the messages.

#include <simgrid/s4u.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

static void rank(int self, int hosts, double bytes)
{
  sg4::Mailbox* to   = sg4::Mailbox::by_name(std::to_string((self + 1) % hosts));
  sg4::Mailbox* from = sg4::Mailbox::by_name(std::to_string(self));
  static int token   = 0;
  for (int round = 0; round < 2 * (hosts - 1); round++) {
    int* got             = nullptr;
    sg4::CommPtr sending = to->put_async(&token, static_cast<uint64_t>(bytes / hosts));
    sg4::CommPtr getting = from->get_async<int>(&got);
    sending->wait();
    getting->wait();
  }
}

int main(int argc, char* argv[])
{
  sg4::Engine engine(&argc, argv);
  if (argc < 5) {
    std::fprintf(stderr, "usage: simgrid_ring HOSTS BYTES LATENCY BANDWIDTH\n");
    return 1;
  }
  const int hosts        = std::atoi(argv[1]);
  const double bytes     = std::atof(argv[2]);
  const double latency   = std::atof(argv[3]);
  const double bandwidth = std::atof(argv[4]);

  sg4::NetZone* zone = sg4::create_full_zone("ring");
  std::vector<sg4::Host*> all;
  for (int self = 0; self < hosts; self++)
    all.push_back(zone->create_host("host-" + std::to_string(self), 1e9));
  for (int self = 0; self < hosts; self++) {
    sg4::Link* link = zone->create_link("link-" + std::to_string(self), bandwidth);
    link->set_latency(latency)->seal();
    zone->add_route(all[self]->get_netpoint(), all[(self + 1) % hosts]->get_netpoint(),
                    nullptr, nullptr, {sg4::LinkInRoute(link)}, false);
  }
  zone->seal();
  for (int self = 0; self < hosts; self++)
    sg4::Actor::create("rank", all[self], rank, self, hosts, bytes);

  const std::clock_t before = std::clock();
  engine.run();
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  std::printf("%.17g %.6f %d\n", sg4::Engine::get_clock(), cpu,
              2 * (hosts - 1) * hosts);
  return 0;
}
