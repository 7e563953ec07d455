// SimGrid's flow model as a referee: when does each flow end?
//
// A case on standard input, numbers separated by white space:
//
//     LINKS FLOWS
//     BANDWIDTH LATENCY            for each link, one direction [B/s] [s]
//     START SIZE HOPS LINK...      for each flow [s] [B]; a link may come several times
//
// Each flow is one message between two hosts of its own, over exactly its links.
// Output: the end of each flow [s].

#include <simgrid/s4u.hpp>

#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

namespace sg4 = simgrid::s4u;

struct Flow {
  sg4::Host* from;
  sg4::Host* to;
  double start;
  std::uint64_t size;
  double end = -1.0;
};

static std::vector<sg4::Link*> read_links(sg4::NetZone* zone, int count)
{
  std::vector<sg4::Link*> links;
  for (int index = 0; index < count; index++) {
    double bandwidth;
    double latency;
    std::cin >> bandwidth >> latency;
    auto* link = zone->create_link("link" + std::to_string(index), bandwidth);
    links.push_back(link->set_latency(latency)->seal());
  }
  return links;
}

static Flow read_flow(sg4::NetZone* zone, const std::vector<sg4::Link*>& links, int index)
{
  const double speed = 1.0; // of a host, which computes nothing
  const auto name = std::to_string(index);
  Flow flow{};
  flow.from = zone->create_host("from" + name, speed)->seal();
  flow.to = zone->create_host("to" + name, speed)->seal();
  int hops;
  std::cin >> flow.start >> flow.size >> hops;
  std::vector<sg4::LinkInRoute> route;
  for (int hop = 0; hop < hops; hop++) {
    int link;
    std::cin >> link;
    route.emplace_back(links.at(link));
  }
  zone->add_route(flow.from->get_netpoint(), flow.to->get_netpoint(), nullptr, nullptr, route, false);
  return flow;
}

static void run(Flow& flow)
{
  sg4::this_actor::sleep_until(flow.start);
  sg4::Comm::sendto(flow.from, flow.to, flow.size);
  flow.end = sg4::Engine::get_clock();
}

int main(int argc, char* argv[])
{
  sg4::Engine engine(&argc, argv);
  int num_links;
  int num_flows;
  std::cin >> num_links >> num_flows;
  auto* zone = sg4::create_full_zone("network");
  const auto links = read_links(zone, num_links);
  std::vector<Flow> flows;
  for (int index = 0; index < num_flows; index++)
    flows.push_back(read_flow(zone, links, index));
  zone->seal();
  for (auto& flow : flows)
    sg4::Actor::create("flow", flow.from, [&flow] { run(flow); });
  engine.run();
  for (const auto& flow : flows)
    std::printf("%.17g\n", flow.end);
  return 0;
}
