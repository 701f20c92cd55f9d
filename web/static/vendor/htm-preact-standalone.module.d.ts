// What the page uses of htm and preact, for the type checker alone.

export function html(strings: TemplateStringsArray, ...values: any[]): any;
export function render(tree: any, parent: Element | null): void;
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useReducer<T>(reduce: (state: T, action: any) => T, initial: T): [T, (action: any) => void];
export function useEffect(run: () => void | (() => void), when?: readonly any[]): void;
export function useRef<T>(initial: T): { current: T };
export function useMemo<T>(make: () => T, when: readonly any[]): T;
export function useErrorBoundary(report?: (error: any) => void): [any, () => void];
