// The field options that Grafana's core registers, as far as our dashboards use them: without them its
// `applyFieldOverrides` applies nothing.
import {
  FieldConfigOptionsRegistry,
  FieldConfigSource,
  DataFrame,
  GrafanaTheme2,
  applyFieldOverrides,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';

const STANDARD: Record<string, any> = {
  unit: unitOverrideProcessor,
  decimals: numberOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  noValue: identityOverrideProcessor,
  color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
};

const CUSTOM = [
  'drawStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'lineInterpolation', 'spanNulls', 'axisSoftMin',
  'stacking', 'thresholdsStyle', 'align', 'cellOptions', 'axisPlacement',
];

function option(path: string, process: any, isCustom: boolean): any {
  const id = isCustom ? `custom.${path}` : path;
  return { id, path, name: id, process, isCustom, override: () => null, editor: () => null, shouldApply: () => true, settings: {} };
}

const registry = new FieldConfigOptionsRegistry(() => [
  ...Object.entries(STANDARD).map(([path, process]) => option(path, process, false)),
  ...CUSTOM.map((path) => option(path, identityOverrideProcessor, true)),
]);

export function withFields(data: DataFrame[], fieldConfig: FieldConfigSource, theme: GrafanaTheme2): DataFrame[] {
  return applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text ?? '',
    theme,
    timeZone: 'utc',
  });
}
