// Which systems have a page here. A system adds a folder under src/systems and one line below; its code is loaded when it is opened.
import { lazy, type ComponentType, type LazyExoticComponent } from "react";
import type { IconName } from "../parts/icons";
import type { SearchHit } from "../parts/search";
import { rates as exchangeRates } from "../systems/exchange/rates";
import { rates as ledgerRates } from "../systems/ledger/rates";
import { rates as objectRates } from "../systems/object/rates";
import { rates as streamRates } from "../systems/stream/rates";
import type { SystemRates } from "./rates";

export interface Page {
  id: string;
  title: string;
  group: string;
  icon: IconName;
  component: LazyExoticComponent<ComponentType>;
  // On the home page; erased to one type here, because a topic's value is the system's own affair.
  rates?: SystemRates<never>;
  // What the search finds inside the system; loaded with its first use.
  search?: (text: string) => Promise<SearchHit[]>;
}

export const GROUPS = ["storage", "data", "edge", "compute", "people", "places", "money"];

export const PAGES: Page[] = [
  {
    id: "object",
    title: "Object store",
    group: "storage",
    icon: "object",
    component: lazy(() => import("../systems/object/ObjectPage")),
    rates: objectRates,
    search: (text) => import("../systems/object/search").then((module) => module.search(text)),
  },
  {
    id: "stream",
    title: "Event log",
    group: "data",
    icon: "stream",
    component: lazy(() => import("../systems/stream/StreamPage")),
    rates: streamRates,
    search: (text) => import("../systems/stream/search").then((module) => module.search(text)),
  },
  {
    id: "ledger",
    title: "Ledger",
    group: "money",
    icon: "ledger",
    component: lazy(() => import("../systems/ledger/LedgerPage")),
    rates: ledgerRates,
    search: (text) => import("../systems/ledger/search").then((module) => module.search(text)),
  },
  {
    id: "exchange",
    title: "Exchange",
    group: "money",
    icon: "exchange",
    component: lazy(() => import("../systems/exchange/ExchangePage")),
    rates: exchangeRates,
    search: (text) => import("../systems/exchange/search").then((module) => module.search(text)),
  },
];
