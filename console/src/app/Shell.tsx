// The frame around every page: the rail with the systems, the top with search, time range and who is signed in.
import { lazy, Suspense, useEffect, useState } from "react";
import { HealthGlyph } from "../parts/HealthChip";
import { Icon } from "../parts/icons";
import { useTopic } from "../parts/live";
import { Waiting } from "../parts/Note";
import { signOut, type HomeSample, type Session } from "./api";
import { ErrorBoundary } from "./ErrorBoundary";
import { LiveBanner } from "./LiveBanner";
import { GROUPS, PAGES } from "./pages";
import { Link, usePlace } from "./router";
import { SearchDialog } from "./SearchDialog";
import { SessionContext } from "./session";
import { TIME_RANGES, TimeRangeContext, type TimeRange } from "./timeRange";

const Home = lazy(() => import("./home/Home"));
const Access = lazy(() => import("./access/AccessPage"));

function nextTheme(): void {
  const root = document.documentElement;
  const dark = root.dataset["theme"] ? root.dataset["theme"] === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset["theme"] = dark ? "light" : "dark";
  try {
    localStorage.setItem("polis.theme", root.dataset["theme"]);
  } catch {
    // Then it lasts until the page is closed.
  }
}

function Rail({ open, close, path }: { open: boolean; close: () => void; path: string }) {
  const home = useTopic<HomeSample>("polis.home").value;
  const here = (to: string): "page" | undefined => (path === to || (to !== "/" && path.startsWith(`${to}/`)) ? "page" : undefined);
  // Only systems that run here, as soon as that is known.
  const runs = (id: string): boolean => !home || id in home.systems;
  const groups = GROUPS.map((group) => ({ group, pages: PAGES.filter((page) => page.group === group && runs(page.id)) })).filter(
    ({ pages }) => pages.length > 0,
  );
  return (
    <>
      <nav className={`rail${open ? " open" : ""}`} id="rail" aria-label="Systems" onClick={close}>
        <Link to="/" className="rail-brand">
          <img src="/icon.svg" alt="" /> polis
        </Link>
        <div className="rail-group">
          <Link to="/" className="rail-link" aria-current={here("/")}>
            <Icon name="home" /> Home
          </Link>
        </div>
        {groups.map(({ group, pages }) => (
          <div className="rail-group" key={group}>
            <h2>{group}</h2>
            {pages.map((page) => (
              <Link key={page.id} to={`/${page.id}`} className="rail-link" aria-current={here(`/${page.id}`)}>
                <Icon name={page.icon} /> {page.title}
                <span className="rail-state">
                  <HealthGlyph state={home?.systems[page.id]?.state} />
                </span>
              </Link>
            ))}
          </div>
        ))}
        <div className="rail-group">
          <h2>polis</h2>
          <Link to="/access" className="rail-link" aria-current={here("/access")}>
            <Icon name="key" /> Users and keys
          </Link>
        </div>
      </nav>
      <button type="button" className="scrim" aria-label="Close the menu" onClick={close} tabIndex={open ? 0 : -1} />
    </>
  );
}

function Body({ path }: { path: string }) {
  if (path === "/") return <Home />;
  if (path === "/access") return <Access />;
  const page = PAGES.find((one) => path === `/${one.id}` || path.startsWith(`/${one.id}/`));
  if (page) return <page.component />;
  return (
    <div className="empty">
      <strong>There is no page at this address.</strong>
      <Link to="/" className="button">
        Go home
      </Link>
    </div>
  );
}

export function Shell({ session, signedOut }: { session: Session; signedOut: () => void }) {
  const { path } = usePlace();
  const [menu, setMenu] = useState(false);
  const [searching, setSearching] = useState(false);
  const [range, setRange] = useState<TimeRange>(TIME_RANGES[1] as TimeRange);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      const typing = target.closest("input, textarea, select, [contenteditable], dialog");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        setSearching(true);
      }
      if (event.key === "Escape") setMenu(false);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const leave = (): void => {
    signOut().then(signedOut, signedOut);
  };
  return (
    <SessionContext value={session}>
      <TimeRangeContext value={range}>
        <a className="skip" href="#content">
          Skip to the content
        </a>
        <div className="shell">
          <Rail open={menu} close={() => setMenu(false)} path={path} />
          <div className="main">
            <header className="top">
              <button
                type="button"
                className="button quiet icon menu-button"
                aria-label="Menu"
                aria-expanded={menu}
                aria-controls="rail"
                onClick={() => setMenu(true)}
              >
                <Icon name="menu" />
              </button>
              <button type="button" className="search-button" onClick={() => setSearching(true)}>
                <Icon name="search" />
                <span>Search</span>
                <kbd>/</kbd>
              </button>
              <div className="top-right">
                <label>
                  <span className="hidden-text">Time range of charts</span>
                  <select
                    className="input"
                    value={range.label}
                    title="How far back live charts look"
                    onChange={(event) => setRange(TIME_RANGES.find((one) => one.label === event.target.value) ?? range)}
                  >
                    {TIME_RANGES.map((one) => (
                      <option key={one.label}>{one.label}</option>
                    ))}
                  </select>
                </label>
                <button type="button" className="button quiet icon" onClick={nextTheme} aria-label="Light or dark" title="Light or dark">
                  <Icon name="sun" />
                </button>
                <span className="wide-only soft" title={session.arn}>
                  {session.user}
                </span>
                <button
                  type="button"
                  className="button quiet icon"
                  onClick={leave}
                  aria-label={`Sign out ${session.user}`}
                  title={`Sign out ${session.user}`}
                >
                  <Icon name="out" />
                </button>
              </div>
            </header>
            <LiveBanner />
            <main className="content" id="content" tabIndex={-1}>
              <ErrorBoundary key={path}>
                <Suspense fallback={<Waiting />}>
                  <Body path={path} />
                </Suspense>
              </ErrorBoundary>
            </main>
          </div>
        </div>
        {searching && <SearchDialog close={() => setSearching(false)} />}
      </TimeRangeContext>
    </SessionContext>
  );
}
