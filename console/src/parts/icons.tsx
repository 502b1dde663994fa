// Line icons of 16 units, drawn by hand; decorative unless a label says otherwise.
import type { ReactNode } from "react";

const paths = {
  home: <path d="M2.5 7.5 8 3l5.5 4.5V13a.5.5 0 0 1-.5.5H9.8V9.6H6.2v3.9H3a.5.5 0 0 1-.5-.5z" />,
  object: (
    <>
      <ellipse cx="8" cy="4" rx="5.2" ry="1.9" />
      <path d="M2.8 4v8c0 1 2.3 1.9 5.2 1.9s5.2-.9 5.2-1.9V4M2.8 8c0 1 2.3 1.9 5.2 1.9S13.2 9 13.2 8" />
    </>
  ),
  ledger: <path d="M8 2.200v11.300M5 13.500h6M3.200 4.300h9.600M3.200 4.300 1.500 9a1.700 1.700 0 0 0 3.400 0zM12.800 4.300 11.100 9a1.700 1.700 0 0 0 3.400 0z" />,
  stream: <path d="M1.800 4h7.400M1.800 8h11.200M1.800 12h5.200M11.200 2.800v2.400M14.200 6.800v2.400M9 10.800v2.400" />,
  exchange: <path d="M2 13.500h12M4 11V6.500M4 5V3M8 11V9M8 7.500V4M12 11V5M12 3.500V2M3 6.500h2V9H3zM7 7.500h2V9H7zM11 5h2v3h-2z" />,
  people: (
    <>
      <circle cx="6" cy="5.2" r="2.5" />
      <path d="M1.8 13.5c.3-2.6 2-4 4.2-4s3.900 1.400 4.200 4M10.500 2.900a2.500 2.500 0 0 1 0 4.600M12 9.800c1.300.6 2.100 1.900 2.300 3.700" />
    </>
  ),
  search: (
    <>
      <circle cx="7" cy="7" r="4.2" />
      <path d="m10.200 10.200 3.500 3.500" />
    </>
  ),
  menu: <path d="M2.500 4.500h11M2.500 8h11M2.500 11.500h11" />,
  copy: (
    <>
      <rect x="5.500" y="5.500" width="8" height="8" rx="1.500" />
      <path d="M10.500 5.500v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
    </>
  ),
  check: <path d="m3 8.500 3.200 3.200L13 4.800" />,
  cross: <path d="m4 4 8 8M12 4l-8 8" />,
  alert: <path d="M8 2.500 14.200 13.300H1.800zM8 6.500v3.200M8 11.500v.1" />,
  info: (
    <>
      <circle cx="8" cy="8" r="5.800" />
      <path d="M8 7.300v3.700M8 5v.1" />
    </>
  ),
  pause: <path d="M5.500 3.500v9M10.500 3.500v9" />,
  play: <path d="M5 3.500v9l7-4.500z" />,
  upload: <path d="M8 10.500v-8M4.800 5.500 8 2.300l3.200 3.200M2.500 10.500v3h11v-3" />,
  download: <path d="M8 2.500v8M4.800 7.300 8 10.500l3.200-3.200M2.500 10.500v3h11v-3" />,
  folder: <path d="M1.800 12.500v-9h4.400l1.500 1.900h6.500v7.100z" />,
  file: <path d="M3.500 1.800h5.700l3.300 3.300v9.100h-9zM9 2v3.300h3.300" />,
  trash: <path d="M3 4.500h10M6.200 4.500V2.800h3.600v1.700M4.300 4.500l.6 9h6.200l.6-9M6.800 7v4M9.200 7v4" />,
  rename: <path d="M10.800 2.700 13.300 5.200 5.600 12.900 2.500 13.500l.6-3.100zM9.300 4.200l2.500 2.500" />,
  drive: (
    <>
      <rect x="2" y="3" width="12" height="10" rx="1.500" />
      <path d="M2 9.500h12M11 11.300h.8" />
    </>
  ),
  repair: <path d="M13.300 8A5.300 5.300 0 1 1 11.400 3.900M13.300 1.800v3.200h-3.200" />,
  sun: (
    <>
      <circle cx="8" cy="8" r="2.800" />
      <path d="M8 1.500v1.600M8 12.900v1.600M1.500 8h1.600M12.900 8h1.600M3.400 3.400l1.100 1.100M11.500 11.500l1.100 1.100M12.600 3.400l-1.100 1.100M4.500 11.500l-1.100 1.100" />
    </>
  ),
  out: <path d="M6.500 2.500h-4v11h4M10 5l3 3-3 3M13 8H6" />,
  plus: <path d="M8 3v10M3 8h10" />,
  key: (
    <>
      <circle cx="5" cy="11" r="2.700" />
      <path d="m7 9 6-6M11 5l1.800 1.800M9.200 6.800l1.300 1.300" />
    </>
  ),
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {paths[name]}
    </svg>
  );
}
