// Line drawings of 20 × 20, in the colour of the text around them.

const PATHS = {
  menu: "M3.5 6h13M3.5 10h13M3.5 14h8",
  plus: "M10 4v12M4 10h12",
  search: "M9 14.500a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM13 13l3.5 3.5",
  send: "M10 16V4.500M5 9.3 10 4.300l5 5",
  copy: "M7.5 7.500h8v8h-8zM12.5 7.500v-3h-8v8h3",
  check: "M4.5 10.500l3.7 3.7 7.3-8",
  again: "M15.8 8.200A6.2 6.2 0 1 0 16.2 11M16.3 4.500v3.900h-3.9",
  edit: "M4 16l.8-3.400L13 4.400l2.6 2.6-8.2 8.200zM11.3 6.100l2.6 2.6",
  trash: "M4 5.800h12M8 5.500V3.700h4v1.800M5.5 5.800l.8 10.500h7.400l.8-10.500M8.4 8.600l.3 5M11.6 8.600l-.3 5",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  down: "M10 4.500v11M5.5 11l4.5 4.5 4.5-4.5",
  chevron: "M5.5 8l4.5 4.5 4.5-4.5",
  close: "M5 5l10 10M15 5 5 15",
  sliders: "M3.5 6.500h6.500M14 6.500h2.500M3.5 13.500h2.500M10 13.500h6.500M12 8.500a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 15.500a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  gear: "M8.8 3h2.4l.4 1.9 1.5.8 1.8-.6 1.2 2-1.4 1.3v1.700l1.4 1.3-1.2 2-1.8-.6-1.5.8-.4 1.900H8.800l-.4-1.9-1.5-.8-1.8.6-1.2-2 1.4-1.300V8.400L3.9 7.100l1.2-2 1.8.6 1.5-.8zM10 11.300a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  moon: "M16 11.800A6.5 6.5 0 0 1 8.2 4a6.5 6.5 0 1 0 7.8 7.800z",
  sun: "M10 13.200a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.400zM10 2.500v1.700M10 15.800v1.700M2.5 10h1.700M15.8 10h1.700M4.7 4.700l1.2 1.200M14.1 14.100l1.2 1.200M15.3 4.700l-1.2 1.200M5.9 14.100l-1.2 1.2",
  keyboard: "M2.5 5.500h15v9h-15zM5.5 8.300h.01M8.5 8.300h.01M11.5 8.300h.01M14.5 8.300h.01M6.5 11.700h7",
  warning: "M10 3.5 17 16H3zM10 8.500v3.500M10 13.900v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

/** The square that stops, filled. */
export function StopIcon() {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <rect x="5" y="5" width="10" height="10" rx="2" fill="currentColor" />
    </svg>
  );
}
